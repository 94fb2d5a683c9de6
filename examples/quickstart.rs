//! A network of your own, HSC on top of it, a few steps of training: `cargo run --example quickstart`.

#![allow(clippy::print_stdout, reason = "an example shows what it does")]

use candle_core::{DType, Device, Tensor};
use candle_nn::{Optimizer, SGD, VarBuilder};
use candle_wsss::init::CONV_DEFAULT;
use candle_wsss::ops::{self, Conv2dSpec};
use candle_wsss::regularizer::hsc::{HscConfig, HscRegularizer};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, ImageLabels, MemoryState, Mode, Objective, Pair, ParameterGroup,
    ParameterStore, Progress, Regularizer, Result, Sampler, SeededSampler, Step, View, ViewOutput,
};

/// The smallest network that makes class activation maps: one convolution as trunk, one as classifier.
struct TinyNet {
    spec: BaselineSpec,
    trunk: Tensor,
    classifier: Tensor,
}

impl TinyNet {
    fn new(layout: ClassLayout, vb: &VarBuilder<'_>) -> Result<Self> {
        let spec = BaselineSpec { layout, feature_dim: 16, stride: 2 };
        let trunk = vb.get_with_hints((spec.feature_dim, 3, 3, 3), "trunk.weight", CONV_DEFAULT)?;
        let shape = (layout.num_classes(), spec.feature_dim, 1, 1);
        Ok(Self { classifier: vb.get_with_hints(shape, "classifier.weight", CONV_DEFAULT)?, trunk, spec })
    }
}

impl Baseline for TinyNet {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, _mode: Mode<'_>) -> Result<ViewOutput> {
        let spec = Conv2dSpec { stride: self.spec.stride, padding: 1, ..Conv2dSpec::default() };
        let features = ops::relu(&ops::conv2d(view.image(), &self.trunk, spec)?)?; // (N, feature_dim, h, w)
        let cam = ops::conv2d(&features, &self.classifier, Conv2dSpec::default())?; // (N, num_classes, h, w)
        let logits = cam.mean((2, 3))?.narrow(1, 0, self.spec.layout.num_foreground())?;
        Ok(ViewOutput { logits, cam, refined_cam: None, features })
    }

    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        let mut objective = Objective::default();
        let losses = step.outputs.as_ref().try_map(|o| ops::soft_margin(&o.logits, step.labels.multi_hot()))?;
        objective.terms.push("cls", 1.0, losses.mean()?)?;
        Ok(objective)
    }

    fn parameter_group(&self, _name: &str) -> ParameterGroup {
        ParameterGroup::FromScratch
    }
}

fn main() -> Result<()> {
    let device = Device::Cpu;
    let layout = ClassLayout::new(3)?; // three foreground classes; background is the last one, everywhere
    let (views, labels) = batch(layout, &device)?;

    // Parameters start from the seed and their own names, so the network starts the same with and without HSC.
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F32, &device);
    let net = TinyNet::new(layout, &vb.pp("net"))?;

    // Wrapped, the network is still a `Baseline`: whatever trains one trains the other.
    let config = HscConfig { grid: (8, 8), pixel_dim: 16, region_dim: 16, ..HscConfig::default() };
    let mut model = HscRegularizer::new(config, net.spec(), vb.pp("hsc"), &mut SeededSampler::new(1))?.wrap(net);

    let trained = store.named_vars().into_iter().filter(|(name, _)| is_trained(&model, name));
    let mut optimizer = SGD::new(trained.map(|(_, var)| var).collect(), 0.2)?;
    let draws = SeededSampler::new(1);
    for step in 0..=20 {
        // All draws of a step come from a stream of its name; a resumed run needs no generator state.
        let draws = draws.child(&format!("step/{step}"));
        let outputs = views.as_ref().try_map(|view| model.forward(view, Mode::Train(&mut *draws.fork("forward"))))?;
        let progress = Progress { step, ..Progress::default() };
        let seen = Step { model: &model, views: &views, outputs: &outputs, labels: &labels, progress };

        // Reads the step, changes nothing: named terms, and the memory to keep if the step is taken.
        let objective = model.objective(&seen, &draws)?;
        if step % 10 == 0 {
            print_terms(step, &objective)?;
        }
        if let Some(loss) = objective.terms.total()? {
            optimizer.backward_step(&loss)?;
        }
        // Only now do the momentum prototypes move.
        model.commit(objective.memory)?;
    }

    // What a checkpoint needs beside the parameters; what does not fit is refused by name.
    let saved = model.memory()?.to_safetensors(None)?;
    model.restore(MemoryState::from_safetensors(&saved, &device)?)?;
    println!("memory, {} bytes, saved and restored:", saved.len());
    for (key, tensor) in model.memory()?.iter() {
        println!("  {key:20} {:?}", tensor.dims());
    }
    if let Err(err) = model.restore(MemoryState::default()) {
        println!("an empty one is refused: {err}");
    }

    // Training is over: the network alone.
    let net = model.into_inner();
    let output = net.forward(&views.source, Mode::Eval)?;
    println!("class activation maps of the source view: {:?}", output.cam.dims());
    Ok(())
}

fn is_trained(model: &impl Baseline, name: &str) -> bool {
    model.parameter_group(name) != ParameterGroup::Frozen
}

fn print_terms(step: usize, objective: &Objective) -> Result<()> {
    println!("step {step}");
    for term in objective.terms.scalars()? {
        println!("  {:26} {:8.4} x {}", term.name, term.value, term.weight);
    }
    for term in objective.terms.omitted() {
        println!("  {:26} left out: {}", term.name, term.reason);
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
