//! From activation maps to labels: naive oracles, gradients, ties, degenerate maps.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::DenseCrfConfig;
use candle_wsss::seed::{Refine, background, crf_image, label_softmax, max_norm, min_max_norm, pseudo_label};
use candle_wsss::testing::{gradient_error, randn};
use candle_wsss::{ClassLayout, ImageLabels, Normalization, Pair, View};

const EPSILON: f64 = 1e-5;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn tensor(values: &[f64], dims: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), dims, &Device::Cpu).unwrap()
}

// Per image and channel: the map and what `f(r, most, least)` makes of each rectified value.
fn check_per_map(cam: &Tensor, got: &Tensor, f: impl Fn(f64, f64, f64) -> f64) {
    let (_, _, h, w) = cam.dims4().unwrap();
    for (map, got) in numbers(cam).chunks(h * w).zip(numbers(got).chunks(h * w)) {
        let rectified: Vec<f64> = map.iter().map(|c| c.max(0.0)).collect();
        let most = rectified.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let least = rectified.iter().copied().fold(f64::INFINITY, f64::min);
        for (r, got) in rectified.iter().zip(got) {
            let want = f(*r, most, least);
            assert!((got - want).abs() <= 1e-12 * want.abs().max(1.0), "got {got}, want {want}");
        }
    }
}

#[test]
fn norms_are_the_definitions_written_out() {
    let mixed = randn(1, &[2, 3, 4, 5]).unwrap();
    let positive = (mixed.abs().unwrap() + 0.5).unwrap();
    for cam in [mixed, positive] {
        let limited = |r: f64, most: f64, least: f64| (r - least - EPSILON).max(0.0) / (most - least + EPSILON);
        check_per_map(&cam, &max_norm(&cam).unwrap(), limited);
        check_per_map(&cam, &min_max_norm(&cam).unwrap(), |r, most, least| {
            let kept = if r < least + EPSILON { 0.0 } else { r };
            (kept - least - EPSILON) / (most - least + EPSILON)
        });
    }
}

#[test]
fn constant_and_negative_maps_have_their_closed_forms() {
    let maps = tensor(&[0.0, 0.0, -1.0, -2.0, 0.4, 0.4], &[1, 3, 1, 2]);
    assert_eq!(numbers(&max_norm(&maps).unwrap()), [0.0; 6]);
    let got = numbers(&min_max_norm(&maps).unwrap());
    let constant = -(0.4 + EPSILON) / EPSILON;
    for (got, want) in got.iter().zip([-1.0, -1.0, -1.0, -1.0, constant, constant]) {
        assert!((got - want).abs() < 1e-9 * want.abs(), "got {got}, want {want}");
    }
}

#[test]
fn max_norm_passes_the_gradient_through_its_extrema() {
    let cam = (randn(2, &[2, 2, 3, 4]).unwrap() + 0.3).unwrap();
    let weights = randn(3, &[2, 2, 3, 4]).unwrap();
    let error = gradient_error(&[cam], 100, |x| Ok((max_norm(&x[0])? * &weights)?.sum_all()?));
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn min_max_norm_passes_none() {
    let var = candle_core::Var::from_tensor(&randn(4, &[1, 2, 3, 3]).unwrap()).unwrap();
    let sum = (min_max_norm(var.as_tensor()).unwrap().sum_all().unwrap() + 0.0).unwrap();
    assert!(sum.backward().unwrap().get(&var).is_none());
}

#[test]
fn backgrounds() {
    let map = tensor(&[0.2, 0.9, 0.6, 0.1, 7.0, 7.0], &[1, 3, 1, 2]);
    let near = |got: &Tensor, want: &[f64]| {
        let got = numbers(got);
        assert_eq!(got.len(), want.len());
        assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "got {got:?}, want {want:?}");
    };
    near(&background::constant(&map, 0.1).unwrap(), &[0.2, 0.9, 0.6, 0.1, 0.1, 0.1]);
    near(&background::complement(&map).unwrap(), &[0.2, 0.9, 0.6, 0.1, 0.4, 0.1]);
    let foreground = map.narrow(1, 0, 2).unwrap();
    near(&background::one_minus_max(&foreground).unwrap(), &[0.4, 0.1]);
    near(&background::power(&foreground, 2.0).unwrap(), &[0.16, 0.01]);
    // Without a batch axis, and above 1.
    near(&background::power(&tensor(&[1.5, 0.5], &[1, 1, 2]), 0.5).unwrap(), &[0.0, 0.5f64.sqrt()]);
    assert!(background::power(&foreground, 0.0).is_err());
    assert!(background::constant(&map.narrow(1, 0, 1).unwrap(), 0.1).is_err());
}

fn image_labels(present: &[&[usize]], classes: usize) -> ImageLabels {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    ImageLabels::new(present, ClassLayout::new(classes).unwrap(), DType::F64, &Device::Cpu).unwrap()
}

#[test]
fn absent_classes_enter_with_zero_and_the_first_of_equals_wins() {
    let labels = image_labels(&[&[1, 2]], 3);
    //                     absent, present, present, background
    let columns = [[9.0, 0.3, 0.3, 0.1], [0.0, -1.0, -0.5, -0.2], [5.0, 0.1, 0.0, 0.1], [0.0, 0.0, 0.2, 0.3]];
    let values: Vec<f64> = (0..4).flat_map(|class| columns.map(|column| column[class])).collect();
    let got = pseudo_label(&tensor(&values, &[1, 4, 1, 4]), &labels).unwrap();
    assert_eq!(got.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [1, 0, 1, 3]);
}

#[test]
fn labels_are_the_best_of_the_soft_max() {
    let labels = image_labels(&[&[0], &[1, 3], &[]], 4);
    let scores = randn(5, &[3, 5, 4, 4]).unwrap();
    let got = pseudo_label(&scores, &labels).unwrap();
    let soft = label_softmax(&scores, &labels).unwrap();
    assert_eq!(numbers(&got), numbers(&soft.argmax(1).unwrap()));
    assert!(numbers(&soft.sum(1).unwrap()).iter().all(|sum| (sum - 1.0).abs() < 1e-12));
    let raw = numbers(&scores);
    let want = raw[5 * 16 + 16].exp(); // image 1, class 1, pixel 0
    let classes = [1, 3, 4].map(|class| raw[(5 + class) * 16].exp());
    let sum: f64 = classes.iter().sum::<f64>() + 2.0; // and two absent ones, e^0 each
    assert!((numbers(&soft)[(5 + 1) * 16] - want / sum).abs() < 1e-12);
}

#[test]
fn scores_of_another_batch_are_refused() {
    let scores = randn(6, &[2, 4, 3, 3]).unwrap();
    assert!(pseudo_label(&scores, &image_labels(&[&[0]], 3)).is_err());
    assert!(pseudo_label(&scores, &image_labels(&[&[0], &[1]], 4)).is_err());
    assert!(max_norm(&scores.get(0).unwrap()).is_err());
}

#[test]
fn the_crf_sees_the_colours_truncated() {
    let normalization = Normalization { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.1] };
    let levels = [[255.0, 0.9, 100.5], [0.0, 254.99, 300.0]];
    let mut values = Vec::new();
    for channel in 0..3 {
        for pixel in levels {
            values.push((pixel[channel] / 255.0 - normalization.mean[channel]) / normalization.std[channel]);
        }
    }
    // A hair up, so that rounding cannot cross a whole number from above.
    let values: Vec<f64> = values.iter().map(|v| v + 1e-9).collect();
    let view = View::new(tensor(&values, &[1, 3, 1, 2])).unwrap().with_normalization(normalization).unwrap();
    let image = crf_image(&view, (1, 2)).unwrap();
    assert_eq!(image.flatten_all().unwrap().to_vec1::<u8>().unwrap(), [255, 0, 100, 0, 254, 255]);
    // Aligned corners keep the corner pixels.
    let larger = crf_image(&view, (1, 3)).unwrap();
    let larger = larger.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    assert_eq!((&larger[..3], &larger[6..]), (&[255, 0, 100][..], &[0, 254, 255][..]));
}

#[test]
fn refinement_is_optional() {
    let view = View::new(Tensor::zeros((1, 3, 8, 8), DType::F64, &Device::Cpu).unwrap()).unwrap();
    let mut values = vec![1u32; 16];
    values[5] = 0;
    let labels = Tensor::from_vec(values, (1, 4, 4), &Device::Cpu).unwrap();
    let pair = Pair::new(labels.clone(), labels.clone());
    let kept = Refine::None.apply(&pair, &view, 3).unwrap();
    assert_eq!(numbers(&kept.source), numbers(&labels));
    // A flat image: the lone pixel joins the others.
    let refined = Refine::DenseCrf(DenseCrfConfig::hsc_labels()).apply(&pair, &view, 3).unwrap();
    assert_eq!(numbers(&refined.source), vec![1.0; 16]);
    assert_eq!(numbers(&refined.target), vec![1.0; 16]);
}
