//! `region_mean` and `region_masks`.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{region_masks, region_mean, region_mean_composed};
use candle_wsss::testing::{gradient_error, randn, relative_error};

use super::{ramp, tensor, values};

/// A map, regions of which every third pixel is inside, of the images given, and their counts.
fn case(seed: u64, dims: [usize; 4], images: &[usize]) -> (Tensor, Tensor, Tensor) {
    let pixels = dims[2] * dims[3];
    let inside: Vec<u8> =
        (0..images.len() * pixels).map(|i| u8::from((i * 31 + seed as usize).is_multiple_of(3))).collect();
    let masks = Tensor::from_vec(inside, (images.len(), dims[2], dims[3]), &Device::Cpu).unwrap();
    let counts = masks.to_dtype(DType::F64).unwrap().sum((1, 2)).unwrap();
    (randn(seed, &dims).unwrap(), masks, counts)
}

fn value_and_gradient(map: &Tensor, f: impl Fn(&Tensor) -> candle_wsss::Result<Tensor>) -> [Tensor; 2] {
    let map = Var::from_tensor(map).unwrap();
    let means = f(&map).unwrap();
    let weights = (ramp(means.dims()) * 0.01).unwrap().to_dtype(means.dtype()).unwrap();
    let grads = (&means * weights).unwrap().sum_all().unwrap().backward().unwrap();
    [means.detach(), grads.get(&map).expect("a gradient").clone()]
}

#[test]
fn fused_is_composed() {
    for (seed, dims) in [[3, 5, 4, 5], [1, 1, 1, 1], [4, 70, 7, 9], [2, 33, 1, 40]].into_iter().enumerate() {
        let last = dims[0] - 1;
        for images in [vec![last], vec![0, 0, last, last, last], (0..dims[0]).collect()] {
            let (map, masks, counts) = case(seed as u64, dims, &images);
            let want = value_and_gradient(&map, |map| region_mean_composed(map, &masks, &images, &counts));
            for (dtype, tolerance) in
                [(DType::F64, 1e-12), (DType::F32, 1e-5), (DType::F16, 2e-3), (DType::BF16, 1.6e-2)]
            {
                let map = map.to_dtype(dtype).unwrap();
                let got = value_and_gradient(&map, |map| region_mean(map, &masks, &images, &counts));
                for (got, want) in got.iter().zip(&want) {
                    assert_eq!(got.dtype(), dtype);
                    let error = relative_error(got, want).unwrap();
                    assert!(error <= tolerance, "{dims:?} {images:?} {dtype:?}: {error:.2e}");
                }
            }
        }
    }
}

#[test]
fn gradient_is_the_numeric_one() {
    let images = [0, 1, 1];
    let (map, masks, counts) = case(5, [2, 3, 3, 4], &images);
    let error = gradient_error(&[map], 72, |x| {
        Ok((region_mean(&x[0], &masks, &images, &counts)?.sqr()? * ramp(&[3, 3]))?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn regions_without_pixels_or_divisor() {
    let map = tensor(&[1.0, 2.0, 4.0, 8.0], &[1, 2, 1, 2]);
    let masks = Tensor::new(&[[[0u8, 0]], [[1, 1]], [[0, 0]]], &Device::Cpu).unwrap();
    let divisors = tensor(&[3.0, 0.0, 0.0], &[3]);
    let [means, gradient] = value_and_gradient(&map, |map| region_mean(map, &masks, &[0, 0, 0], &divisors));
    assert_eq!((values(&means), values(&gradient)), (vec![0.0; 6], vec![0.0; 4]));
    let none = masks.narrow(0, 0, 0).unwrap();
    assert_eq!(region_mean(&map, &none, &[], &divisors.narrow(0, 0, 0).unwrap()).unwrap().dims(), [0, 2]);
}

#[test]
fn threads_do_not_change_the_bits() {
    let images = [0, 0, 1, 3, 3, 3];
    let (map, masks, counts) = case(6, [4, 150, 12, 13], &images);
    let map = map.to_dtype(DType::F32).unwrap();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let both = || value_and_gradient(&map, |map| region_mean(map, &masks, &images, &counts));
        pool.install(|| both().map(|part| values(&part)))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn what_does_not_fit_is_named() {
    let (map, masks, counts) = case(7, [2, 3, 3, 4], &[0, 1]);
    let message = |images: &[usize], masks: &Tensor| region_mean(&map, masks, images, &counts).unwrap_err().to_string();
    assert!(message(&[1, 0], &masks).contains("ascending"));
    assert!(message(&[0, 2], &masks).contains("below 2"));
    assert!(message(&[0, 1], &masks.narrow(1, 0, 2).unwrap()).contains("masks of the regions"));
    assert!(message(&[0], &masks.narrow(0, 0, 1).unwrap()).contains("divisors"));
}

#[test]
fn masks_are_where_the_soft_max_is_above_its_mean() {
    for (seed, dims) in [[2, 4, 3, 5], [1, 1, 2, 2], [3, 21, 9, 8], [1, 3, 1, 1]].into_iter().enumerate() {
        let scores = randn(seed as u64, &dims).unwrap();
        let beliefs = candle_nn::ops::softmax(&scores, 1).unwrap();
        let want = beliefs.broadcast_gt(&beliefs.mean_keepdim((2, 3)).unwrap()).unwrap();
        // One channel alone is the same everywhere.
        let want = if dims[1] == 1 { want.zeros_like().unwrap() } else { want };
        for dtype in [DType::F64, DType::F32] {
            let got = region_masks(&scores.to_dtype(dtype).unwrap()).unwrap();
            assert_eq!(got.dtype(), DType::U8);
            assert_eq!(values(&got), values(&want), "{dims:?} {dtype:?}");
        }
    }
    for constant in [0.1, 0.3, 7.7] {
        let scores = (Tensor::zeros((2, 3, 5, 7), DType::F32, &Device::Cpu).unwrap() + constant).unwrap();
        assert!(values(&region_masks(&scores).unwrap()).iter().all(|inside| *inside == 0.0));
    }
}
