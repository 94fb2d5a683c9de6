//! A network of your own as a baseline, with HSC and PSS on it: `cargo run --example wrap_your_network`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::{Optimizer, SGD, VarBuilder};
use candle_wsss::init::CONV_DEFAULT;
use candle_wsss::ops::{self, Conv2dSpec};
use candle_wsss::regularizer::hsc::{HscConfig, HscRegularizer};
use candle_wsss::regularizer::pss::{PssConfig, PssRegularizer};
use candle_wsss::regularizer::{Site, Twin};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, ImageLabels, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress,
    Regularizer, Result, Sampler, SeededSampler, Step, View, ViewOutput,
};

/// Two convolutions and a classifier of the foreground alone.
struct SmallNet {
    spec: BaselineSpec,
    stem: Tensor,
    body: Tensor,
    classifier: Tensor,
    dropout: f64,
}

impl SmallNet {
    fn new(layout: ClassLayout, vb: &VarBuilder<'_>) -> Result<Self> {
        let spec = BaselineSpec { layout, feature_dim: 16, stride: 4 };
        let (dim, classes) = (spec.feature_dim, layout.num_foreground());
        Ok(Self {
            stem: vb.get_with_hints((8, 3, 3, 3), "stem.weight", CONV_DEFAULT)?,
            body: vb.get_with_hints((dim, 8, 3, 3), "body.weight", CONV_DEFAULT)?,
            classifier: vb.get_with_hints((classes, dim, 1, 1), "classifier.weight", CONV_DEFAULT)?,
            dropout: 0.3,
            spec,
        })
    }

    /// Drops whole channels, as the draws say; the others grow, so that the mean stays.
    fn drop_channels(&self, features: &Tensor, draws: &mut dyn Sampler) -> Result<Tensor> {
        let (n, dim, _, _) = features.dims4()?;
        let kept = 1.0 / (1.0 - self.dropout);
        let factors = draws.uniform(n * dim)?.into_iter().map(|u| if u < self.dropout { 0.0 } else { kept });
        let factors = Tensor::from_vec(factors.collect::<Vec<f64>>(), (n, dim, 1, 1), features.device())?;
        Ok(features.broadcast_mul(&factors.to_dtype(features.dtype())?)?)
    }
}

impl Baseline for SmallNet {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        let half = Conv2dSpec { stride: 2, padding: 1, ..Conv2dSpec::default() };
        let stem = ops::relu(&ops::conv2d(view.image(), &self.stem, half)?)?;
        let mut features = ops::relu(&ops::conv2d(&stem, &self.body, half)?)?; // (N, feature_dim, h, w)
        if let Mode::Train(draws) = mode {
            features = self.drop_channels(&features, draws)?;
        }
        let foreground = ops::conv2d(&features, &self.classifier, Conv2dSpec::default())?;
        let logits = foreground.mean((2, 3))?; // (N, num_foreground)
        // Background is the last channel. This network has none of its own, and zeros are what says so.
        let cam = foreground.pad_with_zeros(D::Minus(3), 0, 1)?; // (N, num_classes, h, w)
        Ok(ViewOutput { logits, cam, refined_cam: None, features })
    }

    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        let mut objective = Objective::default();
        let losses = step.outputs.as_ref().try_map(|o| ops::soft_margin(&o.logits, step.labels.multi_hot()))?;
        objective.terms.push("cls", 1.0, losses.mean()?)?;
        Ok(objective)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        // Full names: `net.` is the scope below which `main` builds it.
        match name {
            "net.stem.weight" => ParameterGroup::Frozen,
            "net.body.weight" => ParameterGroup::Pretrained,
            _ => ParameterGroup::FromScratch,
        }
    }
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let layout = ClassLayout::new(3)?;
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F32, &device);
    let net = SmallNet::new(layout, &vb.pp("net"))?;

    let (views, labels) = batch(layout, &device)?;
    check(&net, &views)?;

    // HSC needs the specification alone.
    let config = HscConfig { grid: (8, 8), pixel_dim: 16, region_dim: 16, ..HscConfig::default() };
    let hsc = HscRegularizer::new(config, net.spec(), vb.pp("hsc"), &mut SeededSampler::new(1))?;

    // PSS runs a second network: the same code on other values, of the parameters below `net.`.
    let twin = Twin::new(store.clone(), "net", move |vb| Ok(Box::new(SmallNet::new(layout, &vb)?)));
    let config = PssConfig { support_momentum: 0.9, ..PssConfig::default() };
    let pss = PssRegularizer::new(config, &Site::new(net.spec()).with_twin(twin))?;

    let mut model = hsc.wrap(net).with(pss)?;

    // One optimizer per group; what is frozen has none.
    let group = |group: ParameterGroup| {
        let members = store.named_vars().into_iter().filter(|(name, _)| model.parameter_group(name) == group);
        members.map(|(_, variable)| variable).collect::<Vec<_>>()
    };
    let mut optimizers =
        [SGD::new(group(ParameterGroup::Pretrained), 0.02)?, SGD::new(group(ParameterGroup::FromScratch), 0.2)?];
    let start = store.snapshot()?;
    let mut totals = Vec::new();
    let draws = SeededSampler::new(1);
    for step in 0..30 {
        let draws = draws.child(&format!("step/{step}"));
        let outputs = views.as_ref().try_map(|view| model.forward(view, Mode::Train(&mut *draws.fork("forward"))))?;
        let progress = Progress { step, ..Progress::default() };
        let seen = Step { model: &model, views: &views, outputs: &outputs, labels: &labels, progress };
        let objective = model.objective(&seen, &draws)?;
        if let Some(loss) = objective.terms.total()? {
            totals.push(loss.to_scalar::<f32>()?);
            let gradients = loss.backward()?;
            for optimizer in &mut optimizers {
                optimizer.step(&gradients)?;
            }
        }
        model.commit(objective.memory)?;
        if step % 10 == 0 {
            let terms = objective.terms.scalars()?;
            println!("step {step}: {} terms, {:.4} in all", terms.len(), totals[step]);
        }
    }

    let (first, last) = (totals[..5].iter().sum::<f32>(), totals[25..].iter().sum::<f32>());
    assert!(last < first, "the loss falls");
    check_groups(&model, &start, &store)?;
    let memory = model.memory()?;
    assert_eq!(memory.iter().filter(|(key, _)| key.starts_with("pss.support.")).count(), 3);

    // Training is over: the network alone.
    let net = model.into_inner();
    println!("maps of the source view: {:?}", net.forward(&views.source, Mode::Eval)?.cam.dims());
    Ok(())
}

/// What wrapping relies on.
fn check(net: &SmallNet, views: &Pair<View>) -> Result<()> {
    let cam = |mode: Mode<'_>| -> Result<Vec<f32>> {
        let output = net.forward(&views.source, mode)?;
        output.check(net.spec())?; // every shape against the specification
        Ok(output.cam.flatten_all()?.to_vec1()?)
    };
    let train = |seed: u64| cam(Mode::Train(&mut SeededSampler::new(seed)));
    assert_eq!(cam(Mode::Eval)?, cam(Mode::Eval)?);
    assert_eq!(train(1)?, train(1)?, "the same draws, the same output");
    assert_ne!(train(1)?, train(2)?);
    Ok(())
}

/// What is frozen has stayed, and everything else has moved.
fn check_groups(model: &dyn Baseline, start: &BTreeMap<String, Tensor>, store: &ParameterStore) -> Result<()> {
    for (name, value) in store.snapshot()? {
        let moved = (&value - &start[&name])?.abs()?.sum_all()?.to_scalar::<f32>()? > 0.0;
        assert_eq!(moved, model.parameter_group(&name) != ParameterGroup::Frozen, "{name}");
    }
    Ok(())
}

/// Four noisy images, each with a square of the colour of its class, in two sizes.
fn batch(layout: ClassLayout, device: &Device) -> Result<(Pair<View>, ImageLabels)> {
    const SIDE: usize = 32;
    let present = vec![vec![0], vec![1], vec![2], vec![0]];
    let mut pixels = SeededSampler::new(7).normal(present.len() * 3 * SIDE * SIDE)?;
    for (image, classes) in present.iter().enumerate() {
        for (y, x) in (8..20).flat_map(|y| (6..18).map(move |x| (y, x))) {
            pixels[((image * 3 + classes[0]) * SIDE + y) * SIDE + x] += 3.0;
        }
    }
    let images = Tensor::from_vec(pixels, (present.len(), 3, SIDE, SIDE), device)?.to_dtype(DType::F32)?;
    let smaller = ops::resize_bilinear(&images, (SIDE / 2, SIDE / 2), ops::Corners::Aligned)?;
    let labels = ImageLabels::new(present, layout, DType::F32, device)?;
    Ok((Pair::new(View::new(images)?, View::new(smaller)?), labels))
}
