//! `top_pixels`, `pixel_sums`, and prototypes made of them.

use candle_core::{DType, Tensor, Var};
use candle_wsss::ops::{pixel_sums, top_pixels};
use candle_wsss::prototype::{TopPixels, class_rows, pixel_rows};
use candle_wsss::testing::{gradient_error, is_emulated, randn, relative_error};

use super::{ramp, tensor, values};

const SHAPES: [([usize; 4], usize); 5] =
    [([2, 3, 4, 5], 5), ([1, 1, 1, 1], 3), ([3, 4, 5, 7], 0), ([2, 21, 8, 8], 33), ([4, 6, 3, 3], 17)];

/// Rounded, so that many are equal.
fn scores(seed: u64, [n, classes, h, w]: [usize; 4]) -> Tensor {
    (randn(seed, &[n, classes, h, w]).unwrap() * 2.0).unwrap().round().unwrap()
}

#[test]
fn pixels_are_those_of_the_rows() {
    for (seed, (dims, _)) in SHAPES.into_iter().enumerate() {
        let scores = scores(seed as u64, dims);
        let pixels = dims[0] * dims[2] * dims[3];
        for k in [1, 2, pixels / 2, pixels].into_iter().filter(|k| *k > 0 && *k <= pixels) {
            for dtype in [DType::F64, DType::F32, DType::BF16] {
                let scores = scores.to_dtype(dtype).unwrap();
                let want = TopPixels::new(&class_rows(&scores).unwrap(), k).unwrap();
                let (got, indices) = top_pixels(&scores, None, k).unwrap();
                assert_eq!(indices.to_vec2::<u32>().unwrap(), want.indices().to_vec2::<u32>().unwrap(), "{dims:?} {k}");
                assert_eq!(values(&got), values(want.scores()));
                let some: Vec<usize> = (0..dims[1]).rev().step_by(2).collect();
                let (got, _) = top_pixels(&scores, Some(&some), k).unwrap();
                let rows = values(want.scores());
                let want: Vec<f64> = some.iter().flat_map(|row| rows[row * k..][..k].to_vec()).collect();
                assert_eq!(values(&got), want);
            }
        }
    }
}

#[test]
fn prototypes_are_those_of_the_rows() {
    for (seed, (dims, dim)) in SHAPES.into_iter().enumerate().filter(|(_, (_, dim))| *dim > 0) {
        let [n, _, h, w] = dims;
        let (scores, features) = (scores(seed as u64, dims), randn(50 + seed as u64, &[n, dim, h, w]).unwrap());
        for k in [1, 7] {
            let both = |is_fused: bool, dtype: DType| -> [Tensor; 2] {
                let features = Var::from_tensor(&features.to_dtype(dtype).unwrap()).unwrap();
                let scores = scores.to_dtype(dtype).unwrap();
                let means = if is_fused {
                    TopPixels::of_map(&scores, None, k).unwrap().mean_direction_of_map(&features).unwrap()
                } else {
                    let top = TopPixels::new(&class_rows(&scores).unwrap(), k).unwrap();
                    top.mean_direction(&pixel_rows(&features).unwrap()).unwrap()
                };
                let weights = (ramp(means.dims()) * 0.01).unwrap().to_dtype(dtype).unwrap();
                let grads = (&means * weights).unwrap().sum_all().unwrap().backward().unwrap();
                [means.detach(), grads.get(&features).expect("a gradient").clone()]
            };
            let want = both(false, DType::F64);
            for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
                for (got, want) in both(true, dtype).iter().zip(&want) {
                    let error = relative_error(got, want).unwrap();
                    assert!(error <= tolerance, "{dims:?} {k} {dtype:?}: {error:.2e}");
                }
            }
        }
    }
}

#[test]
fn sums_in_half_precision_are_rounded_once() {
    let (features, indices) =
        (randn(1, &[3, 18, 5, 5]).unwrap(), Tensor::new(&[[3u32, 74, 40, 3]], &candle_core::Device::Cpu).unwrap());
    let weights = tensor(&[0.5, 2.0, -1.0, 3.0], &[1, 4]);
    for (dtype, rounding) in [(DType::F16, 1e-3), (DType::BF16, 8e-3)] {
        let narrow = features.to_dtype(dtype).unwrap();
        let got = pixel_sums(&narrow, &indices, &weights).unwrap();
        assert_eq!(got.dtype(), dtype);
        let want = pixel_sums(&narrow.to_dtype(DType::F64).unwrap(), &indices, &weights).unwrap();
        assert!(relative_error(&got, &want).unwrap() < rounding);
    }
}

#[test]
fn gradient_is_the_numeric_one() {
    let (features, weights) = (randn(2, &[2, 3, 3, 2]).unwrap(), randn(3, &[4, 5]).unwrap());
    let (_, indices) = top_pixels(&scores(4, [2, 4, 3, 2]), None, 5).unwrap();
    let error = gradient_error(&[features], 36, |x| {
        Ok((pixel_sums(&x[0], &indices, &weights)?.sqr()? * ramp(&[4, 3]))?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn threads_do_not_change_the_bits() {
    let scores = scores(5, [3, 9, 11, 11]).to_dtype(DType::F32).unwrap();
    let features = Var::from_tensor(&randn(6, &[3, 50, 11, 11]).unwrap().to_dtype(DType::F32).unwrap()).unwrap();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let means = TopPixels::of_map(&scores, None, 100).unwrap().mean_direction_of_map(&features).unwrap();
            let grads = means.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [values(&means), values(grads.get(&features).expect("a gradient"))]
        })
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn what_does_not_fit_is_named() {
    let (map, features) = (scores(7, [2, 3, 2, 2]), randn(8, &[2, 4, 2, 2]).unwrap());
    assert!(top_pixels(&map, None, 9).unwrap_err().to_string().contains("at most 8"));
    assert!(top_pixels(&map, Some(&[3]), 1).unwrap_err().to_string().contains("below 3"));
    let indices = Tensor::new(&[[8u32]], &candle_core::Device::Cpu).unwrap();
    let beyond = pixel_sums(&features, &indices, &tensor(&[1.0], &[1, 1]));
    // Nobody reads the indices on a device.
    assert!(is_emulated() || beyond.unwrap_err().to_string().contains("below 8"));
    assert!(TopPixels::of_map(&map, None, 0).is_err());
    let top = TopPixels::of_map(&map, None, 3).unwrap();
    assert!(top.mean_direction_of_map(&features.narrow(0, 0, 1).unwrap()).is_err());
}
