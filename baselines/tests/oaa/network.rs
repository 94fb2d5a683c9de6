//! The network at a small width: shapes, loss, gradients, parameter groups.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress, SeededSampler,
    Step, View, ViewOutput,
};
use candle_wsss_baselines::backbone::{BackboneConfig, ResNet38dConfig, Vgg16Config};
use candle_wsss_baselines::oaa::{ClassifiedViews, HeadConfig, HeadInit, Oaa, OaaConfig, OaaLossConfig};

use crate::support::spatial_mean;

fn config() -> OaaConfig {
    let backbone = BackboneConfig::ResNet38d(ResNet38dConfig { width_divisor: 64, ..ResNet38dConfig::default() });
    let head = HeadConfig { hidden: Some(6), init: HeadInit::Kaiming, ..HeadConfig::default() };
    OaaConfig { backbone, head, ..OaaConfig::default() }
}

fn vgg() -> OaaConfig {
    let backbone = BackboneConfig::Vgg16(Vgg16Config { width_divisor: 16, ..Vgg16Config::default() });
    OaaConfig { backbone, ..config() }
}

fn build(config: OaaConfig, classes: usize) -> (Oaa, ParameterStore) {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F64, &Device::Cpu);
    (Oaa::new(config, ClassLayout::new(classes).unwrap(), vb).unwrap(), store)
}

fn view(seed: u64, images: usize, side: usize) -> View {
    View::new(randn(seed, &[images, 3, side, side]).unwrap()).unwrap()
}

fn labels(images: usize, classes: usize) -> ImageLabels {
    let present = (0..images).map(|image| if image == 3 { vec![] } else { vec![image % classes] }).collect();
    ImageLabels::new(present, ClassLayout::new(classes).unwrap(), DType::F64, &Device::Cpu).unwrap()
}

fn train(model: &Oaa, views: &Pair<View>) -> Pair<ViewOutput> {
    views.as_ref().map(|view| model.forward(view, Mode::Train(&mut SeededSampler::new(0))).unwrap())
}

fn objective(model: &Oaa, views: &Pair<View>, outputs: &Pair<ViewOutput>, labels: &ImageLabels) -> Objective {
    let step = Step { model, views, outputs, labels, progress: Progress::default() };
    model.objective(&step, &SeededSampler::new(0)).unwrap()
}

// The mean of ln(1 + exp(-x)) for what is there and ln(1 + exp(x)) for what is not.
fn soft_margin(logits: &Tensor, labels: &ImageLabels) -> f64 {
    let rows = logits.to_vec2::<f64>().unwrap();
    let count = (rows.len() * rows[0].len()) as f64;
    let entry = |image: usize, class: usize, x: f64| {
        if labels.of_image(image).contains(&class) { (-x).exp().ln_1p() } else { x.exp().ln_1p() }
    };
    let images = rows.iter().enumerate();
    images.map(|(i, row)| row.iter().enumerate().map(|(c, x)| entry(i, c, *x)).sum::<f64>()).sum::<f64>() / count
}

#[test]
fn shapes_and_loss() {
    for (config, classes) in [1, 6, 20, 80].into_iter().flat_map(|classes| [(config(), classes), (vgg(), classes)]) {
        let (model, _) = build(config, classes);
        for images in 1..=4 {
            let views = Pair::new(view(1, images, 24), view(2, images, 16));
            let outputs = train(&model, &views);
            for (output, cells) in [(&outputs.source, 3), (&outputs.target, 2)] {
                output.check(model.spec()).unwrap();
                assert_eq!(output.cam.dims(), [images, classes + 1, cells, cells]);
                assert!(output.refined_cam.is_none());
                let map = output.cam.narrow(1, 0, classes).unwrap();
                assert_close("logits", &output.logits, &spatial_mean(&map), 1e-15).unwrap();
                let background = output.cam.narrow(1, classes, 1).unwrap();
                assert_eq!(background.abs().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap(), 0.0);
            }
            let labels = labels(images, classes);
            let objective = objective(&model, &views, &outputs, &labels);
            assert!(objective.memory.is_empty());
            let terms = objective.terms.scalars().unwrap();
            assert_eq!((terms.len(), terms[0].name.as_str(), terms[0].weight), (1, "cls", 1.0));
            let want = soft_margin(&outputs.source.logits, &labels);
            assert!((terms[0].value - want).abs() < 1e-12, "{} against {want}", terms[0].value);
        }
    }
}

#[test]
fn one_view_or_both() {
    let views = Pair::new(view(1, 2, 16), view(2, 2, 8));
    let labels = labels(2, 3);
    let with = |loss: OaaLossConfig| build(OaaConfig { loss, ..config() }, 3).0;
    let both = with(OaaLossConfig { views: ClassifiedViews::Both, cls: 0.4 });
    let outputs = train(&both, &views);
    let margins = outputs.as_ref().map(|output| soft_margin(&output.logits, &labels));
    let got = objective(&both, &views, &outputs, &labels).terms.total().unwrap().unwrap().to_scalar::<f64>().unwrap();
    let want = 0.4 * (margins.source + margins.target) / 2.0;
    assert!((got - want).abs() < 1e-12, "{got} against {want}");

    let under_rca = OaaConfig::under_rca();
    assert_eq!((under_rca.loss.cls, under_rca.loss.views), (0.4, ClassifiedViews::Source));
    let one = with(under_rca.loss);
    let got = objective(&one, &views, &outputs, &labels).terms.total().unwrap().unwrap().to_scalar::<f64>().unwrap();
    assert!((got - 0.4 * margins.source).abs() < 1e-12);
}

#[test]
fn every_parameter_learns_or_is_frozen() {
    for (config, views) in [(config(), ClassifiedViews::Both), (vgg(), ClassifiedViews::Source)] {
        let loss = OaaLossConfig { views, ..OaaLossConfig::default() };
        let (model, store) = build(OaaConfig { loss, ..config }, 6);
        let views = Pair::new(view(3, 2, 24), view(4, 2, 16));
        let outputs = train(&model, &views);
        let total = objective(&model, &views, &outputs, &labels(2, 6)).terms.total().unwrap().unwrap();
        let grads = total.backward().unwrap();
        for (name, var) in store.named_vars() {
            let frozen = model.parameter_group(&name) == ParameterGroup::Frozen;
            let size = grads.get(&var).map(|g| g.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap());
            match size {
                None => assert!(frozen, "{name} gets no gradient"),
                Some(size) => assert!(!frozen && size > 0.0 && size.is_finite(), "{name}: {size}"),
            }
        }
    }
}

#[test]
fn gradient_of_the_image() {
    let (model, _) = build(config(), 2);
    let labels = labels(2, 2);
    let image = randn(5, &[2, 3, 9, 8]).unwrap();
    let error = gradient_error(&[image], 40, |x| {
        let view = View::new(x[0].clone())?;
        let output = model.forward(&view, Mode::Eval)?;
        let (views, outputs) = (Pair::new(view.clone(), view), Pair::new(output.clone(), output));
        Ok(objective(&model, &views, &outputs, &labels).terms.total()?.unwrap())
    });
    let error = error.unwrap();
    assert!(error < 1e-6, "{error}");
}

// All features 0 is what a trunk of rectifications may give: the biases alone make the maps, and learn.
#[test]
fn features_of_zeros_and_a_batch_of_none() {
    let (model, store) = build(config(), 2);
    for (name, var) in store.named_vars() {
        if !name.starts_with("extra_convs.") {
            var.set(&var.zeros_like().unwrap()).unwrap();
        }
    }
    let views = Pair::new(view(1, 2, 16), view(2, 2, 8));
    let outputs = train(&model, &views);
    let total = objective(&model, &views, &outputs, &labels(2, 2)).terms.total().unwrap().unwrap();
    assert!((total.to_scalar::<f64>().unwrap() - 2f64.ln()).abs() < 1e-12);
    for (name, var) in store.named_vars() {
        if let Some(grad) = total.backward().unwrap().get(&var) {
            let sum = grad.sum_all().unwrap().to_scalar::<f64>().unwrap();
            assert!(sum.is_finite(), "{name}: {sum}");
        }
    }

    let none = labels(0, 2);
    let outputs = outputs.map(|output| ViewOutput {
        logits: output.logits.narrow(0, 0, 0).unwrap(),
        cam: output.cam.narrow(0, 0, 0).unwrap(),
        refined_cam: None,
        features: output.features.narrow(0, 0, 0).unwrap(),
    });
    let objective = objective(&model, &views, &outputs, &none);
    assert!(objective.terms.total().unwrap().is_none());
    assert_eq!(objective.terms.omitted()[0].name, "cls");
}

#[test]
fn names_are_those_of_the_released_network() {
    let f = crate::fixture::Fixture::with_prefix("net_rca").remove(0);
    let listed = f.json["parameters"].as_array().unwrap();
    let names = listed.iter().map(|entry| entry.as_str().unwrap().split(' ').next().unwrap());
    // The rest is RCA's own.
    let is_ours = |name: &&str| name.starts_with("features.") || name.starts_with("extra_convs.");
    let want: BTreeSet<String> = names.filter(is_ours).map(str::to_string).collect();
    let (_, store) = build(vgg(), 3);
    let got = store.named_vars().into_iter().map(|(name, _)| name);
    assert_eq!(got.collect::<BTreeSet<String>>(), want);
}

#[test]
fn groups_do_not_depend_on_the_scope() {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, DType::F32, &Device::Cpu).pp("net");
    let model = Oaa::new(config(), ClassLayout::new(2).unwrap(), vb).unwrap();
    for layer in ["0", "2", "4", "6"] {
        for leaf in ["weight", "bias"] {
            let name = format!("net.extra_convs.{layer}.{leaf}");
            assert!(store.get(&name).is_some(), "{name}");
            assert_eq!(model.parameter_group(&name), ParameterGroup::FromScratch);
        }
    }
    assert_eq!(model.parameter_group("net.conv1a.weight"), ParameterGroup::Frozen);
    assert_eq!(model.parameter_group("net.b7.conv_branch2b2.weight"), ParameterGroup::Pretrained);
}

#[test]
fn depth_and_width_of_the_head() {
    let dims = |head: HeadConfig| -> Vec<Vec<usize>> {
        let (_, store) = build(OaaConfig { head, ..config() }, 5);
        let own = store.named_vars().into_iter().filter(|(name, _)| name.starts_with("extra_convs."));
        own.filter(|(name, _)| name.ends_with("weight")).map(|(_, var)| var.dims().to_vec()).collect()
    };
    let trunk = config().backbone.spec().channels[2];
    let head = HeadConfig { layers: 0, ..HeadConfig::default() };
    assert_eq!(dims(head), [[5, trunk, 1, 1]]);
    let head = HeadConfig { layers: 1, ..HeadConfig::default() };
    assert_eq!(dims(head), [[trunk, trunk, 3, 3], [5, trunk, 1, 1]]);
    let head = HeadConfig { layers: 2, hidden: Some(7), ..HeadConfig::default() };
    assert_eq!(dims(head), [[7, trunk, 3, 3], [7, 7, 3, 3], [5, 7, 1, 1]]);
}

#[test]
fn settings() {
    let message = |config: OaaConfig| config.validate().unwrap_err().to_string();
    let head = HeadConfig { hidden: Some(0), ..HeadConfig::default() };
    assert_eq!(message(OaaConfig { head, ..config() }), "config field `head.hidden`: must be at least 1, is 0");
    let head = HeadConfig { init: HeadInit::Normal(0.0), ..HeadConfig::default() };
    let text = message(OaaConfig { head, ..config() });
    assert_eq!(text, "config field `head.init.normal`: must be positive, is 0");
    let loss = OaaLossConfig { cls: f64::NAN, ..OaaLossConfig::default() };
    assert_eq!(message(OaaConfig { loss, ..config() }), "config field `loss.cls`: must be at least 0, is NaN");

    for config in [OaaConfig::default(), OaaConfig::under_rca(), config()] {
        let text = toml::to_string(&config).unwrap();
        assert_eq!(toml::from_str::<OaaConfig>(&text).unwrap(), config);
    }
    assert!(toml::from_str::<OaaConfig>("dropout = 0.5").unwrap_err().to_string().contains("dropout"));
    // The trunk of a table without a type is that of no table.
    let narrow: OaaConfig = toml::from_str("[backbone]\nwidth_divisor = 16").unwrap();
    assert_eq!(narrow.backbone, vgg().backbone);
    let wide: OaaConfig = toml::from_str("[backbone]\ntype = \"resnet38d\"\nwidth_divisor = 64").unwrap();
    assert_eq!(wide.backbone, config().backbone);
    let err = toml::from_str::<OaaConfig>("[backbone]\nbatch_norm = \"frozen\"").unwrap_err();
    assert!(err.to_string().contains("batch_norm"), "{err}");
}
