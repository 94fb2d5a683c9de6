//! Scores and labels of seeds against what they are put together from.

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{Corners, best_class, max_keepdim, min_keepdim, relu, resize_bilinear, seed_scores};
use candle_wsss::testing::{assert_close, is_emulated, randn};
use candle_wsss::{ClassLayout, ImageLabels};

const EPSILON: f64 = 1e-5;

/// The definition in tensor operations.
fn composed(cam: &Tensor, size: (usize, usize), background: f64) -> Tensor {
    let cam = resize_bilinear(cam, size, Corners::Aligned).unwrap();
    let r = relu(&cam).unwrap();
    let flat = r.flatten_from(2).unwrap();
    let most = max_keepdim(&flat, 2).unwrap().unsqueeze(3).unwrap();
    let least = min_keepdim(&flat, 2).unwrap().unsqueeze(3).unwrap();
    let threshold = (&least + EPSILON).unwrap();
    let kept = r.broadcast_ge(&threshold).unwrap().where_cond(&r, &r.zeros_like().unwrap()).unwrap();
    let span = ((most - least).unwrap() + EPSILON).unwrap();
    let scores = kept.broadcast_sub(&threshold).unwrap().broadcast_div(&span).unwrap();
    let foreground = scores.narrow(1, 0, cam.dim(1).unwrap() - 1).unwrap();
    let background = (scores.narrow(1, 0, 1).unwrap().zeros_like().unwrap() + background).unwrap();
    Tensor::cat(&[foreground, background], 1).unwrap()
}

#[test]
fn scores_are_the_composed_form() {
    for (seed, dims, size) in
        [(0, [2, 4, 12, 12], (6, 6)), (1, [1, 3, 5, 7], (11, 4)), (2, [2, 2, 1, 3], (3, 3)), (3, [1, 5, 4, 4], (4, 4))]
    {
        for shift in [0.0, 1.5, -5.0] {
            let cam = (randn(seed, &dims).unwrap() + shift).unwrap();
            for (dtype, unit) in [(DType::F64, f64::EPSILON), (DType::F32, f64::from(f32::EPSILON))] {
                // The kernel of the resize keeps one weight of each pair and takes the other as what it lacks to 1.
                let tolerance = if is_emulated() { 4.0 * unit } else { 0.0 };
                let cam = cam.to_dtype(dtype).unwrap();
                let got = seed_scores(&cam, size, 0.2, EPSILON).unwrap();
                assert_close("scores", &got, &composed(&cam, size, 0.2), tolerance).unwrap();
            }
            for dtype in [DType::F16, DType::BF16] {
                let cam = cam.to_dtype(dtype).unwrap();
                let want = composed(&cam.to_dtype(DType::F32).unwrap(), size, 0.2).to_dtype(dtype).unwrap();
                assert_close("scores", &seed_scores(&cam, size, 0.2, EPSILON).unwrap(), &want, 0.0).unwrap();
            }
        }
    }
}

#[test]
fn labels_are_the_first_largest_of_what_is_masked() {
    let present: [&[usize]; 4] = [&[0, 2], &[], &[1], &[0, 1, 2]];
    let labels = ImageLabels::new(
        present.iter().map(|p| p.to_vec()).collect(),
        ClassLayout::new(3).unwrap(),
        DType::F64,
        &Device::Cpu,
    )
    .unwrap();
    // Few levels, so that many are equal.
    let scores = randn(7, &[4, 4, 6, 5]).unwrap().round().unwrap();
    let masked = scores.broadcast_mul(&labels.with_background().unwrap()).unwrap().to_vec3_of_images();
    let got = best_class(&scores, &labels).unwrap().flatten_from(1).unwrap().to_vec2::<u32>().unwrap();
    for (image, got) in masked.iter().zip(got) {
        for (pixel, got) in got.into_iter().enumerate() {
            let column: Vec<f64> = image.iter().map(|plane| plane[pixel]).collect();
            let most = column.iter().copied().fold(f64::MIN, f64::max);
            assert_eq!(got as usize, column.iter().position(|v| *v == most).unwrap());
        }
    }
}

trait ToImages {
    /// Planes of every image.
    fn to_vec3_of_images(&self) -> Vec<Vec<Vec<f64>>>;
}

impl ToImages for Tensor {
    fn to_vec3_of_images(&self) -> Vec<Vec<Vec<f64>>> {
        self.flatten_from(2).unwrap().to_vec3().unwrap()
    }
}

#[test]
fn wrong_input_is_named() {
    let cam = randn(0, &[1, 1, 3, 3]).unwrap();
    assert!(seed_scores(&cam, (2, 2), 0.1, EPSILON).unwrap_err().to_string().contains("1 channels"));
    let cam = randn(0, &[1, 2, 3, 3]).unwrap();
    assert!(seed_scores(&cam, (0, 2), 0.1, EPSILON).unwrap_err().to_string().contains("3x3 to 0x2"));
    assert!(seed_scores(&cam, (2, 2), 0.1, 0.0).unwrap_err().to_string().contains("epsilon"));
}
