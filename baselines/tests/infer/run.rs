//! Whole runs: what the network is given, and what becomes of its maps.

use std::sync::Mutex;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::testing::{ToyBaseline, assert_close, randn};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Mode, Normalization, Objective, ParameterGroup, ParameterStore, Sampler, Step,
    View, ViewOutput,
};
use candle_wsss_baselines::infer::{
    ImageFilter, InferConfig, Inference, MapSource, NetworkMap, SeedMaps, infer_image, normalize_maps, seeds, sum_maps,
};
use candle_wsss_baselines::seam::{Seam, SeamConfig};
use image::{Rgb, RgbImage};

fn picture(width: u32, height: u32) -> RgbImage {
    let value = |x: u32, y: u32, c: u32| ((x * 37 + y * 59 + c * 83 + x * y) % 256) as u8;
    RgbImage::from_fn(width, height, |x, y| Rgb([value(x, y, 0), value(x, y, 1), value(x, y, 2)]))
}

fn toy(num_foreground: usize) -> ToyBaseline {
    ToyBaseline::new(num_foreground, 4, &ParameterStore::default(), 3, DType::F32).unwrap()
}

fn run(model: &dyn Baseline, image: &RgbImage, labels: &[usize], config: &InferConfig) -> SeedMaps {
    seeds(model, image, labels, config, Normalization::IMAGENET, &Device::Cpu).unwrap()
}

/// Notes the batches it is given. Its refined maps are the raw ones turned over.
struct Recorder {
    inner: ToyBaseline,
    seen: Mutex<Vec<Vec<usize>>>,
}

impl Baseline for Recorder {
    fn spec(&self) -> &BaselineSpec {
        self.inner.spec()
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> candle_wsss::Result<ViewOutput> {
        assert!(matches!(mode, Mode::Eval));
        self.seen.lock().unwrap().push(view.image().dims().to_vec());
        let output = self.inner.forward(view, mode)?;
        Ok(ViewOutput { refined_cam: Some(output.cam.neg()?), ..output })
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> candle_wsss::Result<Objective> {
        self.inner.objective(step, sampler)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.inner.parameter_group(name)
    }
}

#[test]
fn every_scale_is_a_run_of_the_image_and_its_mirror_image() {
    let recorder = Recorder { inner: toy(3), seen: Mutex::default() };
    let image = picture(13, 11);
    run(&recorder, &image, &[2, 0], &InferConfig::default());
    // Halves round to even: 6.5 to 6, 5.5 to 6, 19.5 to 20, 16.5 to 16.
    // Both together, since they are small.
    let want = [[2, 3, 6, 6], [2, 3, 11, 13], [2, 3, 16, 20], [2, 3, 22, 26]];
    assert_eq!(*recorder.seen.lock().unwrap(), want);
    recorder.seen.lock().unwrap().clear();
    run(&recorder, &picture(300, 250), &[1], &InferConfig { scales: vec![1.0], ..InferConfig::default() });
    assert_eq!(*recorder.seen.lock().unwrap(), [[1, 3, 250, 300]; 2], "one after the other, in half the memory");
    recorder.seen.lock().unwrap().clear();
    run(&recorder, &image, &[1], &InferConfig { flip: false, scales: vec![1.0], ..InferConfig::default() });
    assert_eq!(*recorder.seen.lock().unwrap(), [[1, 3, 11, 13]]);
    recorder.seen.lock().unwrap().clear();
    let nothing = run(&recorder, &image, &[], &InferConfig::default());
    assert_eq!((nothing.classes().len(), nothing.height(), nothing.width()), (0, 11, 13));
    assert!(recorder.seen.lock().unwrap().is_empty(), "no label, nothing to run");
}

#[test]
fn the_source_says_which_maps_are_used() {
    let (recorder, image) = (Recorder { inner: toy(3), seen: Mutex::default() }, picture(13, 11));
    for source in [MapSource::Refined, MapSource::Softmax] {
        let config = InferConfig { source, ..InferConfig::default() };
        let same = run(&recorder, &image, &[1], &config) == run(&toy(3), &image, &[1], &config);
        assert_eq!(same, source == MapSource::Softmax, "{source:?}");
    }
}

#[test]
fn one_plain_scale_is_the_networks_own_map() {
    let (model, image) = (toy(3), picture(9, 7));
    let config = InferConfig { flip: false, scales: vec![1.0], ..InferConfig::default() };
    let got = run(&model, &image, &[0, 2], &config);
    let Normalization { mean, std } = Normalization::IMAGENET;
    let mut values = Vec::new();
    for channel in 0..3 {
        for pixel in image.pixels() {
            values.push(((f64::from(pixel.0[channel]) / 255.0 - mean[channel]) / std[channel]) as f32);
        }
    }
    let view = View::new(Tensor::from_vec(values, (1, 3, 7, 9), &Device::Cpu).unwrap()).unwrap();
    let cam = model.forward(&view, Mode::Eval).unwrap().cam.squeeze(0).unwrap();
    let kept = cam.index_select(&Tensor::new(&[0u32, 2], &Device::Cpu).unwrap(), 0).unwrap();
    let want = normalize_maps(&kept, MapSource::Refined).unwrap().flatten_all().unwrap();
    let maps = Tensor::new(got.maps(), &Device::Cpu).unwrap();
    assert_close("map", &maps, &want, 1e-5).unwrap();
    assert_eq!(got.classes(), [0, 2]);
    assert_eq!(got.map(2).unwrap(), &got.maps()[63..]);
    assert_eq!(got.map(1), None);
}

#[test]
fn a_mirrored_image_has_mirrored_seeds() {
    for source in [MapSource::Refined, MapSource::Softmax] {
        let (model, image) = (toy(3), picture(12, 10));
        let config = InferConfig { source, ..InferConfig::default() };
        let plain = run(&model, &image, &[1, 2], &config);
        let mirrored = run(&model, &image::imageops::flip_horizontal(&image), &[2, 1, 1], &config);
        let tensor = |s: &SeedMaps| Tensor::from_slice(s.maps(), (2, 10, 12), &Device::Cpu).unwrap();
        assert_close("mirrored", &tensor(&mirrored).flip(&[2]).unwrap(), &tensor(&plain), 1e-4).unwrap();
        assert!(plain.maps().iter().all(|score| *score <= 1.0));
    }
}

#[test]
fn labels_and_settings_are_checked() {
    let (model, image) = (toy(3), picture(9, 7));
    let fail = |image: &RgbImage, labels: &[usize], config: &InferConfig| {
        let result = seeds(&model, image, labels, config, Normalization::IMAGENET, &Device::Cpu);
        result.unwrap_err().to_string()
    };
    let good = InferConfig::default();
    assert_eq!(fail(&image, &[0, 3], &good), "image labels: must be below 3, one is 3");
    assert!(fail(&image, &[0], &InferConfig { scales: vec![], ..good.clone() }).contains("infer.scales"));
    assert!(fail(&image, &[0], &InferConfig { scales: vec![1.0, 0.0], ..good.clone() }).contains("one is 0"));
    assert!(fail(&image, &[0], &InferConfig { scales: vec![1e3], ..good.clone() }).contains("at most 10, one is 1000"));
    assert!(fail(&image, &[0], &InferConfig { scales: vec![f64::NAN], ..good.clone() }).contains("NaN"));
    assert!(fail(&RgbImage::new(0, 4), &[0], &good).contains("0 x 4"));
}

#[test]
fn a_network_that_is_no_number_is_refused() {
    let store = ParameterStore::default();
    let model = ToyBaseline::new(2, 4, &store, 3, DType::F32).unwrap();
    for var in store.named_vars() {
        var.1.set(&(var.1.as_tensor() * f64::NAN).unwrap()).unwrap();
    }
    let result = seeds(&model, &picture(9, 7), &[1], &InferConfig::default(), Normalization::IMAGENET, &Device::Cpu);
    assert!(result.unwrap_err().to_string().contains("class 1 is not a number"));
}

#[test]
fn a_tiny_image_still_has_a_pixel_at_every_scale() {
    let got = run(&toy(2), &picture(1, 1), &[0], &InferConfig::default());
    assert_eq!((got.height(), got.width(), got.maps().len()), (1, 1, 1));
}

#[test]
fn a_scale_too_small_for_the_trunk_is_left_out() {
    let store = ParameterStore::new();
    let config: SeamConfig = toml::from_str("backbone = { type = \"squeezenet1_0\", width_divisor = 8 }").unwrap();
    let layout = ClassLayout::new(3).unwrap();
    let model = Seam::new(config, layout, store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
    let all = InferConfig::default();
    let infer = |image: &RgbImage, config: &InferConfig| {
        infer_image(&model, image, &[0, 2], config, Normalization::IMAGENET, &Device::Cpu)
    };
    let image = picture(40, 26);
    let Inference { seeds, left_out } = infer(&image, &all).unwrap();
    assert_eq!((left_out, seeds.grids().len()), (vec![0.5], 3));
    let others = InferConfig { scales: vec![1.0, 1.5, 2.0], ..all.clone() };
    assert_eq!(infer(&image, &others).unwrap(), Inference { seeds, left_out: vec![] });
    let message = infer(&picture(9, 6), &all).unwrap_err().to_string();
    for part in ["image: 9 x 6 pixels (width x height)", "at every scale, 18 x 12 at 2;", "`infer.scales`", "(N, 3, "] {
        assert!(message.contains(part), "`{part}` is not in: {message}");
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let config: SeamConfig = toml::from_str("backbone = { type = \"resnet38d\", width_divisor = 64 }").unwrap();
    let (store, layout) = (ParameterStore::new(), ClassLayout::new(3).unwrap());
    Seam::new(config.clone(), layout, store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
    let tensors = store.snapshot().unwrap().into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let model = Seam::new(config, layout, vb).unwrap();
    let run_in = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&model, &picture(150, 130), &[0, 1], &InferConfig::default()))
    };
    assert!(run_in(1) == run_in(3));
}

#[test]
fn summing_before_resizing_changes_nothing() {
    let map = |seed, h, w| randn(seed, &[1, 4, h, w]).unwrap();
    let maps = [(map(1, 3, 5), false), (map(2, 6, 7), true), (map(3, 3, 5), true), (map(4, 6, 7), false)];
    for source in [MapSource::Refined, MapSource::Softmax] {
        // One by one, in the order of the equation: resize, mirror back, add.
        let mut want = Tensor::zeros((2, 8, 9), DType::F64, &Device::Cpu).unwrap();
        for (map, flipped) in &maps {
            let map = if source == MapSource::Softmax { candle_nn::ops::softmax(map, 1).unwrap() } else { map.clone() };
            let resized = resize_bilinear(&map, (8, 9), Corners::HalfPixel).unwrap();
            let resized = if *flipped { resized.flip(&[3]).unwrap() } else { resized };
            let picked = resized.index_select(&Tensor::new(&[0u32, 2], &Device::Cpu).unwrap(), 1).unwrap();
            want = (want + picked.squeeze(0).unwrap()).unwrap();
        }
        let maps: Vec<NetworkMap> =
            maps.iter().map(|(map, flipped)| NetworkMap { map: map.clone(), flipped: *flipped }).collect();
        let got = sum_maps(&maps, &[0, 2], (8, 9), source).unwrap();
        assert_close("sum", &got, &want, 1e-13).unwrap();
    }
    assert!(sum_maps(&[], &[0], (8, 9), MapSource::Refined).is_err());
    let odd = [NetworkMap { map: map(1, 3, 5), flipped: false }];
    assert!(sum_maps(&odd, &[3], (8, 9), MapSource::Refined).is_err(), "3 is the background");
    assert!(sum_maps(&odd, &[], (8, 9), MapSource::Refined).is_err());
    let two = [NetworkMap { map: randn(1, &[2, 4, 3, 5]).unwrap(), flipped: false }];
    assert!(sum_maps(&two, &[0], (8, 9), MapSource::Refined).is_err());
}

#[test]
fn normalisation_in_closed_form() {
    let sum = Tensor::new(&[[[-1.0, 0.0], [1.0, 3.0]], [[2.0, 2.0], [2.0, 2.0]]], &Device::Cpu).unwrap();
    let e = 1e-5;
    let refined = normalize_maps(&sum, MapSource::Refined).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let low = -e / (3.0 + e);
    let constant = -(2.0 + e) / e;
    let want = [low, low, (1.0 - e) / (3.0 + e), (3.0 - e) / (3.0 + e), constant, constant, constant, constant];
    for (got, want) in refined.iter().zip(want) {
        assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "got {got}, want {want}");
    }
    let softmax = normalize_maps(&sum, MapSource::Softmax).unwrap();
    let largest = softmax.flatten_from(1).unwrap().max(D::Minus1).unwrap().to_vec1::<f64>().unwrap();
    assert!((largest[0] - 3.0 / (3.0 + e)).abs() < 1e-15 && (largest[1] - 2.0 / (2.0 + e)).abs() < 1e-15);
    assert!(normalize_maps(&randn(1, &[2, 2]).unwrap(), MapSource::Refined).is_err());
}

#[test]
fn configuration_is_strict() {
    let parse = |text: &str| toml_like(text);
    assert_eq!(parse("{}").unwrap(), InferConfig::default());
    let changed = parse(r#"{"source": "softmax", "scales": [1.0], "image_filter": "bilinear"}"#).unwrap();
    assert_eq!((changed.source, changed.image_filter, changed.flip), (MapSource::Softmax, ImageFilter::Bilinear, true));
    assert!(parse(r#"{"scale": [1.0]}"#).is_err());
    assert!(parse(r#"{"source": "sum"}"#).is_err());
}

fn toml_like(text: &str) -> serde_json::Result<InferConfig> {
    serde_json::from_str(text)
}
