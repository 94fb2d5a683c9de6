//! EPS as a baseline at a small width: what learns from what, which views count, degenerate batches, seeds.

use std::collections::BTreeSet;

use candle_core::{DType, Device, Tensor};
use candle_nn::ops::sigmoid;
use candle_wsss::testing::{assert_close, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, Mode, Normalization, Objective, Pair, ParameterGroup, ParameterStore, Progress,
    Result, SeededSampler, Step, View, ViewOutput,
};
use candle_wsss_baselines::backbone::{BackboneConfig, ResNet38dConfig};
use candle_wsss_baselines::eps::loss::saliency_fit;
use candle_wsss_baselines::eps::{Eps, EpsConfig, LossViews};
use candle_wsss_baselines::infer::{InferConfig, MapSource, normalize_maps, seeds};
use candle_wsss_baselines::seam::{FeatureTap, PcmConfig};
use image::{Rgb, RgbImage};

use crate::fixture::Fixture;

fn narrow(config: EpsConfig, width_divisor: usize) -> EpsConfig {
    let trunk = ResNet38dConfig { width_divisor, ..ResNet38dConfig::default() };
    EpsConfig { backbone: BackboneConfig::ResNet38d(trunk), ..config }
}

fn both_kinds(divisor: usize) -> [EpsConfig; 2] {
    [EpsConfig::default(), EpsConfig::with_pcm()].map(|config| narrow(config, divisor))
}

fn build(config: EpsConfig, foreground: usize, dtype: DType) -> (Eps, ParameterStore) {
    let store = ParameterStore::new();
    let vb = store.var_builder(1, dtype, &Device::Cpu);
    (Eps::new(config, ClassLayout::new(foreground).unwrap(), vb).unwrap(), store)
}

fn plain_view(seed: u64, images: usize, side: usize, dtype: DType) -> View {
    View::new(randn(seed, &[images, 3, side, side]).unwrap().to_dtype(dtype).unwrap()).unwrap()
}

fn view(seed: u64, images: usize, side: usize, dtype: DType) -> View {
    let saliency = sigmoid(&randn(seed + 100, &[images, 1, side, side]).unwrap()).unwrap().to_dtype(dtype).unwrap();
    plain_view(seed, images, side, dtype).with_saliency(saliency).unwrap()
}

fn views(images: usize, dtype: DType) -> Pair<View> {
    Pair::new(view(1, images, 40, dtype), view(2, images, 24, dtype))
}

fn labels(present: Vec<Vec<usize>>, foreground: usize, dtype: DType) -> ImageLabels {
    ImageLabels::new(present, ClassLayout::new(foreground).unwrap(), dtype, &Device::Cpu).unwrap()
}

fn train(model: &Eps, views: &Pair<View>) -> Pair<ViewOutput> {
    let root = SeededSampler::new(5);
    let run = |view: &View, scope: &str| model.forward(view, Mode::Train(&mut root.child(scope))).unwrap();
    Pair::new(run(&views.source, "source"), run(&views.target, "target"))
}

fn objective(model: &Eps, views: &Pair<View>, outputs: &Pair<ViewOutput>, labels: &ImageLabels) -> Result<Objective> {
    let step = Step { model, views, outputs, labels, progress: Progress::default() };
    model.objective(&step, &SeededSampler::new(0))
}

fn names(objective: &Objective) -> Vec<&str> {
    objective.terms.iter().map(|term| term.name.as_str()).collect()
}

fn term(objective: &Objective, name: &str) -> f64 {
    objective.terms.get(name).unwrap().value.to_scalar().unwrap()
}

#[test]
fn every_parameter_learns_or_is_frozen() {
    for (config, want) in
        both_kinds(16).into_iter().zip([&["cls", "sal"][..], &["cls", "min_pool", "er", "ecr", "sal"]])
    {
        let (model, store) = build(config, 4, DType::F32);
        let views = views(2, DType::F32);
        let outputs = train(&model, &views);
        outputs.as_ref().try_map(|output| output.check(model.spec())).unwrap();
        let labels = labels(vec![vec![0, 3], vec![2]], 4, DType::F32);
        let objective = objective(&model, &views, &outputs, &labels).unwrap();
        assert_eq!(names(&objective), want);
        let grads = objective.terms.total().unwrap().unwrap().backward().unwrap();
        for (name, var) in store.named_vars() {
            let frozen = model.parameter_group(&name) == ParameterGroup::Frozen;
            let size = grads.get(&var).map(|grad| grad.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
            match size {
                None => assert!(frozen, "{name} gets no gradient"),
                Some(size) => assert!(!frozen && size > 0.0 && size.is_finite(), "{name}: {size}"),
            }
        }
    }
}

#[test]
fn names_are_those_of_the_released_networks() {
    for (case, config) in ["net_eps", "net_hsc"].into_iter().zip(both_kinds(64)) {
        let f = Fixture::with_prefix(case).remove(0);
        let own = |name: &str| !name.starts_with("proj_fc.") && !name.starts_with("extra_F.");
        let entries = f.json["parameters"].as_array().unwrap().iter();
        let want: BTreeSet<String> = entries
            .map(|entry| entry.as_str().unwrap().split(' ').next().unwrap().to_string())
            .filter(|name| own(name))
            .collect();
        let (_, store) = build(config, 4, DType::F32);
        let got: BTreeSet<String> = store.named_vars().into_iter().map(|(name, _)| name).collect();
        assert_eq!(got, want, "{case}");
    }
}

#[test]
fn groups_do_not_depend_on_the_scope() {
    let vb = ParameterStore::new().var_builder(1, DType::F32, &Device::Cpu).pp("net").pp("eps");
    let config = narrow(EpsConfig::with_pcm(), 64);
    let model = Eps::new(config, ClassLayout::new(2).unwrap(), vb).unwrap();
    let group = |name: &str| model.parameter_group(&format!("net.eps.{name}"));
    for name in ["fc8", "f8_3", "f8_4", "f9"] {
        assert_eq!(group(&format!("{name}.weight")), ParameterGroup::FromScratch);
    }
    assert_eq!(group("conv1a.weight"), ParameterGroup::Frozen);
    assert_eq!(group("b3.conv_branch1.weight"), ParameterGroup::Pretrained);
}

#[test]
fn dropout_is_off_by_default_and_on_when_asked_for() {
    let view = plain_view(3, 1, 24, DType::F64);
    let features = |dropout: f64, feature_tap: FeatureTap| {
        let config = EpsConfig { dropout, feature_tap, ..narrow(EpsConfig::default(), 32) };
        let (model, _) = build(config, 3, DType::F64);
        let output = model.forward(&view, Mode::Train(&mut SeededSampler::new(9))).unwrap();
        output.features.flatten_all().unwrap().to_vec1::<f64>().unwrap()
    };
    let plain = features(0.0, FeatureTap::AfterDropout);
    assert_eq!(plain, features(0.5, FeatureTap::BeforeDropout));
    assert_ne!(plain, features(0.5, FeatureTap::AfterDropout));
}

#[test]
fn the_source_alone_or_both_views() {
    let (views, labels) = (views(2, DType::F64), labels(vec![vec![0, 2], vec![1]], 3, DType::F64));
    let (model, store) = build(narrow(EpsConfig::default(), 64), 3, DType::F64);
    let outputs = train(&model, &views);
    let source = objective(&model, &views, &outputs, &labels).unwrap();
    let swapped = objective(&model, &views.clone().swapped(), &outputs.clone().swapped(), &labels).unwrap();
    let mut config = model.config().clone();
    config.loss.views = LossViews::Both;
    let layout = model.spec().layout;
    let both = Eps::new(config, layout, store.var_builder(1, DType::F64, &Device::Cpu)).unwrap();
    let both = objective(&both, &views, &outputs, &labels).unwrap();
    for name in ["cls", "sal"] {
        let mean = 0.5 * (term(&source, name) + term(&swapped, name));
        assert!((term(&both, name) - mean).abs() < 1e-12, "{name}");
        assert!((term(&source, name) - mean).abs() > 1e-9, "{name} is the same in both views");
    }
}

// By hand: means of the views, raw and refined maps added.
#[test]
fn saliency_of_raw_and_refined_maps_of_both_views() {
    let (views, labels) = (views(2, DType::F64), labels(vec![vec![0, 2], vec![1]], 3, DType::F64));
    let (model, _) = build(narrow(EpsConfig::with_pcm(), 64), 3, DType::F64);
    let outputs = train(&model, &views);
    let fit = |view: &View, map: &Tensor| {
        let fit = saliency_fit(map, view.saliency().unwrap(), &labels, &model.config().loss.saliency).unwrap();
        fit.loss.to_scalar::<f64>().unwrap()
    };
    let of_view =
        |(view, output): (&View, &ViewOutput)| fit(view, &output.cam) + fit(view, output.refined_cam.as_ref().unwrap());
    let Pair { source, target } = views.as_ref().zip(outputs.as_ref()).map(of_view);
    let got = term(&objective(&model, &views, &outputs, &labels).unwrap(), "sal");
    assert!((got - 0.5 * (source + target)).abs() < 1e-12, "{got} against {source}, {target}");
}

#[test]
fn missing_saliency_says_how_to_get_it() {
    let labels = labels(vec![vec![0]], 3, DType::F32);
    let bare = Pair::new(plain_view(1, 1, 24, DType::F32), plain_view(2, 1, 16, DType::F32));
    for config in both_kinds(64) {
        let (model, _) = build(config, 3, DType::F32);
        let outputs = train(&model, &bare);
        let message = objective(&model, &bare, &outputs, &labels).unwrap_err().to_string();
        let want = "saliency: EPS needs saliency maps, the batch has none: set `loader.saliency = true`";
        assert_eq!(message, want);
        // One view is enough where only one counts.
        let half = Pair::new(view(1, 1, 24, DType::F32), bare.target.clone());
        let works = objective(&model, &half, &outputs, &labels).is_ok();
        assert_eq!(works, model.config().loss.views == LossViews::Source);
    }
}

#[test]
fn any_number_of_classes_and_images() {
    for config in both_kinds(64) {
        for foreground in [1, 6, 20, 80] {
            for images in 1..=4 {
                let (model, _) = build(config.clone(), foreground, DType::F32);
                let views = Pair::new(view(1, images, 24, DType::F32), view(2, images, 16, DType::F32));
                // One image has no label at all, another the last class alone.
                let present = (0..images).map(|image| if image == 1 { vec![] } else { vec![foreground - 1] }).collect();
                let labels = labels(present, foreground, DType::F32);
                let outputs = train(&model, &views);
                let total = objective(&model, &views, &outputs, &labels).unwrap().terms.total().unwrap().unwrap();
                let value = total.to_scalar::<f32>().unwrap();
                assert!(value.is_finite(), "{foreground} classes, {images} images: {value}");
            }
        }
    }
}

#[test]
fn an_empty_batch_has_no_terms() {
    for config in both_kinds(64) {
        let (model, _) = build(config, 3, DType::F32);
        let empty = |map: &Tensor| map.narrow(0, 0, 0).unwrap();
        let views = views(1, DType::F32);
        let outputs = train(&model, &views).map(|output| ViewOutput {
            logits: empty(&output.logits),
            cam: empty(&output.cam),
            refined_cam: output.refined_cam.as_ref().map(empty),
            features: empty(&output.features),
        });
        let objective = objective(&model, &views, &outputs, &labels(vec![], 3, DType::F32)).unwrap();
        assert!(names(&objective).is_empty());
        assert!(objective.terms.omitted().iter().any(|term| term.name == "sal"));
    }
}

// An image without label and without salience: nothing to explain, and every gradient is a number.
#[test]
fn nothing_to_explain_is_finite() {
    for config in both_kinds(64) {
        let (model, store) = build(config, 3, DType::F64);
        let dark = |view: View| view.clone().with_saliency(view.saliency().unwrap().zeros_like().unwrap()).unwrap();
        let views = views(1, DType::F64).map(dark);
        let outputs = train(&model, &views);
        let objective = objective(&model, &views, &outputs, &labels(vec![vec![]], 3, DType::F64)).unwrap();
        let grads = objective.terms.total().unwrap().unwrap().backward().unwrap();
        for (name, var) in store.named_vars() {
            if let Some(grad) = grads.get(&var) {
                let size = grad.sqr().unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
                assert!(size.is_finite(), "{name}: {size}");
            }
        }
    }
}

#[test]
fn configurations_are_checked() {
    let fail = |config: EpsConfig| config.validate().unwrap_err().to_string();
    let views = EpsConfig { pcm: Some(PcmConfig::default()), ..EpsConfig::default() };
    let want = "config field `loss.views`: must be `both` with a `pcm`, whose losses compare two views, is `source`";
    assert_eq!(fail(views), want);
    let mut config = EpsConfig::with_pcm();
    config.loss.weights.sal = -1.0;
    assert_eq!(fail(config.clone()), "config field `loss.weights.sal`: must be at least 0, is -1");
    config.loss.weights.sal = 1.0;
    config.loss.min_pool_divisor = 0;
    assert_eq!(fail(config), "config field `loss.min_pool_divisor`: must be at least 1, is 0");
    assert!(fail(EpsConfig { dropout: 1.0, ..EpsConfig::default() }).contains("`dropout`"));
    let read = |text: &str| toml::from_str::<EpsConfig>(text).unwrap();
    assert_eq!(read(""), EpsConfig::default());
    assert_eq!(read("pcm = {}\nloss.views = 'both'"), EpsConfig::with_pcm());
    for config in [EpsConfig::default(), EpsConfig::with_pcm()] {
        assert_eq!(read(&toml::to_string(&config).unwrap()), config);
    }
}

// Seeds are made of the softmax of the classifier's map, whether or not there is a refined one.
#[test]
fn seeds_of_an_image() {
    let image = RgbImage::from_fn(32, 24, |x, y| Rgb([(x * 7) as u8, (y * 9) as u8, ((x * y) % 256) as u8]));
    for config in both_kinds(64) {
        let (model, _) = build(config, 3, DType::F32);
        let infer =
            InferConfig { source: MapSource::Softmax, flip: false, scales: vec![1.0], ..InferConfig::default() };
        let maps = seeds(&model, &image, &[0, 2], &infer, Normalization::IMAGENET, &Device::Cpu).unwrap();
        assert_eq!((maps.classes(), maps.height(), maps.width()), (&[0, 2][..], 24, 32));

        let Normalization { mean, std } = Normalization::IMAGENET;
        let level = |c: usize| image.pixels().map(move |p| ((f64::from(p[c]) / 255.0 - mean[c]) / std[c]) as f32);
        let pixels: Vec<f32> = (0..3).flat_map(level).collect();
        let view = View::new(Tensor::from_vec(pixels, (1, 3, 24, 32), &Device::Cpu).unwrap()).unwrap();
        let cam = model.forward(&view, Mode::Eval).unwrap().cam;
        let probability = candle_nn::ops::softmax(&cam, 1).unwrap();
        let large = candle_wsss::ops::resize_bilinear(&probability, (24, 32), candle_wsss::ops::Corners::HalfPixel);
        let kept = large.unwrap().squeeze(0).unwrap();
        let kept = kept.index_select(&Tensor::new(&[0u32, 2], &Device::Cpu).unwrap(), 0).unwrap();
        let want = normalize_maps(&kept, MapSource::Softmax).unwrap().flatten_all().unwrap();
        assert_close("seeds", &Tensor::new(maps.maps(), &Device::Cpu).unwrap(), &want, 1e-5).unwrap();
    }
}
