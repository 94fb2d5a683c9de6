//! The saliency loss of EPS: against the released code, against plain loops, and where it degenerates.

use candle_core::{DType, Device, Tensor};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use candle_wsss::{ClassLayout, ImageLabels, Pair};
use candle_wsss_baselines::eps::loss::{EpsMaps, SaliencyFit, objective, saliency_fit};
use candle_wsss_baselines::eps::{EpsLossConfig, EpsLosses};

use crate::fixture::Fixture;
use crate::support::{Grid, Inputs, SCALAR, TENSOR, background_last, labels, spatial_mean};

#[test]
fn released_code() {
    for f in Fixture::with_prefix("eps_") {
        let config = EpsLossConfig {
            overlap_threshold: f.constant("tau"),
            foreground_share: f.constant("lam"),
            overlap_epsilon: f.constant("iou_eps"),
        };
        let labels = labels(&f);
        let inputs = Inputs::new(&f, &["cam"]);
        let cam = background_last(inputs.get("cam"), f.count("background_channel"));
        let fit = saliency_fit(&cam, &f.tensor("saliency"), &labels, &config).unwrap();
        f.check("saliency_resized", &fit.saliency, TENSOR);
        f.check("iou", &fit.overlap, TENSOR);
        let valid = (f.tensor("valid") * labels.multi_hot()).unwrap();
        assert_close("valid", &fit.salient, &valid, 0.0).unwrap();
        f.check("fg_map", &fit.foreground, TENSOR);
        f.check("bg_map", &fit.background, TENSOR);
        f.check("sal_pred", &fit.prediction, TENSOR);
        f.check_scalar("loss_sal", &fit.loss, SCALAR);
        inputs.check_gradients(&f, "loss_sal", &fit.loss);

        let logits = spatial_mean(&cam).narrow(1, 0, labels.layout().num_foreground()).unwrap();
        let view = EpsMaps { logits, cam, refined: None, saliency: Some(f.tensor("saliency")) };
        let losses = EpsLosses { saliency: config, ..EpsLosses::default() };
        let terms = objective(&Pair::new(view.clone(), view), &labels, &losses).unwrap().terms;
        let cls = &terms.get("cls").unwrap().value;
        f.check_scalar("loss_cls", cls, SCALAR);
        inputs.check_gradients(&f, "loss_cls", cls);
        f.check_scalar("loss_sal", &terms.get("sal").unwrap().value, SCALAR);
        f.check_scalar("loss", &terms.total().unwrap().unwrap(), SCALAR);
    }
}

#[test]
fn refined_maps_in_one_view_alone_are_an_error() {
    let (cam, saliency) = random_case(1);
    let labels = three_images();
    let logits = spatial_mean(&cam).narrow(1, 0, CLASSES).unwrap();
    let source = EpsMaps { logits, cam: cam.clone(), refined: None, saliency: Some(saliency) };
    let target = EpsMaps { refined: Some(cam), ..source.clone() };
    let error = objective(&Pair::new(source, target), &labels, &EpsLosses::default()).unwrap_err();
    assert_eq!(error.to_string(), "refined cam: one of the views has it, the other has not");
}

const CLASSES: usize = 3;

fn three_images() -> ImageLabels {
    let layout = ClassLayout::new(CLASSES).unwrap();
    ImageLabels::new(vec![vec![0, 2], vec![1], vec![]], layout, DType::F64, &Device::Cpu).unwrap()
}

fn random_case(seed: u64) -> (Tensor, Tensor) {
    let cam = (randn(seed, &[3, CLASSES + 1, 4, 5]).unwrap() * 2.0).unwrap();
    let saliency = candle_nn::ops::sigmoid(&randn(seed + 1, &[3, 1, 9, 7]).unwrap()).unwrap();
    (cam, saliency)
}

fn softmax(cam: &Grid) -> Grid {
    let sums: Vec<f64> = cam
        .places()
        .into_iter()
        .map(|[n, _, y, x]| (0..cam.dims[1]).map(|c| cam.at([n, c, y, x]).exp()).sum())
        .collect();
    let mut sums = sums.into_iter();
    let mut out = cam.clone();
    for place in cam.places() {
        out.set(place, cam.at(place).exp() / sums.next().unwrap());
    }
    out
}

fn naive(cam: &Grid, saliency: &Grid, labels: &ImageLabels, config: &EpsLossConfig) -> f64 {
    let [n, _, h, w] = cam.dims;
    let probability = softmax(cam);
    let mut loss = 0.0;
    for image in 0..n {
        let target = |y: usize, x: usize| saliency.at([image, 0, y * saliency.dims[2] / h, x * saliency.dims[3] / w]);
        let is_salient = |class: usize| {
            let (mut covered, mut area) = (0.0, 0.0);
            for (y, x) in cam.pixels() {
                let inside = if probability.at([image, class, y, x]) > 0.5 { 1.0 } else { 0.0 };
                covered += if target(y, x) > 0.5 { inside } else { 0.0 };
                area += inside + config.overlap_epsilon;
            }
            covered / area > config.overlap_threshold
        };
        let (salient, hidden): (Vec<usize>, Vec<usize>) =
            labels.of_image(image).iter().partition(|class| is_salient(**class));
        for (y, x) in cam.pixels() {
            let sum = |classes: &[usize]| classes.iter().map(|c| probability.at([image, *c, y, x])).sum::<f64>();
            let background = 1.0 - sum(&hidden) - probability.at([image, CLASSES, y, x]);
            let share = config.foreground_share;
            loss += (share * sum(&salient) + (1.0 - share) * background - target(y, x)).powi(2);
        }
    }
    loss / (n * h * w) as f64
}

#[test]
fn plain_loops() {
    let labels = three_images();
    for seed in 0..8 {
        let (cam, saliency) = random_case(10 * seed);
        for (overlap_threshold, foreground_share) in [(0.5, 0.5), (0.2, 0.9), (0.0, 0.0)] {
            let config = EpsLossConfig { overlap_threshold, foreground_share, ..EpsLossConfig::default() };
            let got = saliency_fit(&cam, &saliency, &labels, &config).unwrap().loss.to_scalar::<f64>().unwrap();
            let want = naive(&Grid::of(&cam), &Grid::of(&saliency), &labels, &config);
            assert!((got - want).abs() < 1e-12, "seed {seed}: {got} against {want}");
        }
    }
}

#[test]
fn gradient() {
    let (cam, saliency) = random_case(3);
    let labels = three_images();
    let config = EpsLossConfig { overlap_threshold: 0.3, foreground_share: 0.7, ..EpsLossConfig::default() };
    let error = gradient_error(&[cam], 60, |x| Ok(saliency_fit(&x[0], &saliency, &labels, &config)?.loss)).unwrap();
    assert!(error < 1e-6, "{error}");
}

// One image, one class, certain everywhere: the class explains a salient image fully, and a plain one not at all.
#[test]
fn certain_maps() {
    let layout = ClassLayout::new(1).unwrap();
    let labels = ImageLabels::new(vec![vec![0]], layout, DType::F64, &Device::Cpu).unwrap();
    let cam = Tensor::new(&[[[[60f64, 60.], [60., 60.]], [[-60., -60.], [-60., -60.]]]], &Device::Cpu).unwrap();
    let config = EpsLossConfig { foreground_share: 0.25, ..EpsLossConfig::default() };
    let fit = |level: f64| -> SaliencyFit {
        let saliency = Tensor::full(level, (1, 1, 4, 4), &Device::Cpu).unwrap();
        saliency_fit(&cam, &saliency, &labels, &config).unwrap()
    };
    let value = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f64>().unwrap()[0];
    let salient = fit(1.0);
    assert!((value(&salient.overlap) - 4.0 / 4.0004).abs() < 1e-12);
    assert!(value(&salient.loss) < 1e-12);
    // Not salient: the class joins the background, so the predicted saliency is 0.
    let plain = fit(0.25);
    assert_eq!(value(&plain.salient), 0.0);
    assert!((value(&plain.loss) - 0.0625).abs() < 1e-12);
    // One half is not above one half.
    assert_eq!(value(&fit(0.5).salient), 0.0);
}

#[test]
fn wrong_input() {
    let (cam, saliency) = random_case(0);
    let labels = three_images();
    let config = EpsLossConfig::default();
    let narrow = cam.narrow(1, 0, CLASSES).unwrap();
    assert!(saliency_fit(&narrow, &saliency, &labels, &config).unwrap_err().to_string().starts_with("cam:"));
    let two = Tensor::cat(&[&saliency, &saliency], 1).unwrap();
    assert!(saliency_fit(&cam, &two, &labels, &config).unwrap_err().to_string().starts_with("saliency:"));
    let out_of_range = EpsLossConfig { overlap_threshold: 1.5, ..config };
    let message = out_of_range.validate("eps").unwrap_err().to_string();
    assert_eq!(message, "config field `eps.overlap_threshold`: must be from 0 to 1, is 1.5");
}
