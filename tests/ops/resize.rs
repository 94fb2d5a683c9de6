use candle_core::{DType, Tensor};
use candle_wsss::ops::{Corners, resize_bilinear, resize_nearest};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use proptest::prelude::*;

use super::{gradient, ramp, tensor, values};

const BOTH: [Corners; 2] = [Corners::Aligned, Corners::HalfPixel];

/// The definition, one output pixel at a time; the map is piecewise linear, so hat functions give its weights.
fn naive(x: &Tensor, size: (usize, usize), corners: Corners) -> Tensor {
    let (n, c, h, w) = x.dims4().unwrap();
    let data = values(x);
    let position = |i: usize, input: usize, output: usize| match corners {
        Corners::Aligned if output == 1 => 0.0,
        Corners::Aligned => (i * (input - 1)) as f64 / (output - 1) as f64,
        Corners::HalfPixel => ((i as f64 + 0.5) * input as f64 / output as f64 - 0.5).clamp(0.0, (input - 1) as f64),
    };
    let mut result = vec![];
    for plane in data.chunks(h * w).take(n * c) {
        for i in 0..size.0 {
            for j in 0..size.1 {
                let (y, x) = (position(i, h, size.0), position(j, w, size.1));
                let mut sum = 0.0;
                for p in 0..h {
                    for q in 0..w {
                        let hat = |d: f64| (1.0 - d.abs()).max(0.0);
                        sum += plane[p * w + q] * hat(y - p as f64) * hat(x - q as f64);
                    }
                }
                result.push(sum);
            }
        }
    }
    tensor(&result, &[n, c, size.0, size.1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bilinear_is_its_definition(h in 1usize..8, w in 1usize..8, height in 1usize..12, width in 1usize..12, seed: u64) {
        let x = randn(seed, &[2, 3, h, w]).unwrap();
        for corners in BOTH {
            let y = resize_bilinear(&x, (height, width), corners).unwrap();
            assert_close("forward", &y, &naive(&x, (height, width), corners), 1e-14).unwrap();
            let candle = x.upsample_bilinear2d(height, width, corners == Corners::Aligned).unwrap();
            assert_close("candle", &y, &candle, 1e-12).unwrap();
            // The map is linear, and its gradient is its transpose: <A x, r> = <x, A^T r>.
            let slope = tensor(&gradient(&x, |x| resize_bilinear(x, (height, width), corners)), x.dims());
            let left = (&y * ramp(y.dims())).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            let right = (&x * slope).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
            prop_assert!((left - right).abs() < 1e-9 * (1.0 + left.abs()), "{left} {right}");
        }
    }

    #[test]
    fn nearest_is_its_definition(h in 1usize..8, w in 1usize..8, height in 1usize..12, width in 1usize..12, seed: u64) {
        let x = randn(seed, &[2, 2, h, w]).unwrap();
        let y = resize_nearest(&x, (height, width)).unwrap().to_vec3_of_planes();
        let slope = tensor(&gradient(&x, |x| resize_nearest(x, (height, width))), &[4 * h * w]).to_vec1::<f64>().unwrap();
        let mut want = vec![0.0; 4 * h * w];
        for (plane, data) in values(&x).chunks(h * w).enumerate() {
            for i in 0..height {
                for j in 0..width {
                    let source = (i * h / height) * w + j * w / width;
                    prop_assert_eq!(y[plane][i * width + j], data[source]);
                    want[plane * h * w + source] += (plane * height * width + i * width + j + 1) as f64;
                }
            }
        }
        prop_assert_eq!(slope, want);
    }
}

trait Planes {
    fn to_vec3_of_planes(&self) -> Vec<Vec<f64>>;
}

impl Planes for Tensor {
    fn to_vec3_of_planes(&self) -> Vec<Vec<f64>> {
        let (_, _, h, w) = self.dims4().unwrap();
        values(self).chunks(h * w).map(<[f64]>::to_vec).collect()
    }
}

#[test]
fn the_same_size_is_the_same_map() {
    let x = randn(7, &[1, 2, 5, 7]).unwrap();
    for corners in BOTH {
        assert_eq!(values(&resize_bilinear(&x, (5, 7), corners).unwrap()), values(&x));
    }
    assert_eq!(values(&resize_nearest(&x, (5, 7)).unwrap()), values(&x));
}

#[test]
fn gradients_match_differences() {
    for corners in BOTH {
        for (input, output) in [((4, 5), (7, 3)), ((1, 1), (3, 3)), ((6, 4), (1, 1)), ((3, 3), (9, 8))] {
            let x = randn(8, &[2, 2, input.0, input.1]).unwrap();
            let error = gradient_error(&[x], 40, |x| {
                let y = resize_bilinear(&x[0], output, corners)?;
                Ok((y.sqr()? * ramp(y.dims()))?.sum_all()?)
            });
            assert!(error.unwrap() < 1e-7, "{corners:?} {input:?} {output:?}");
        }
    }
}

#[test]
fn large_strided_and_single_precision_maps() {
    let x = randn(9, &[2, 5, 61, 70]).unwrap();
    for corners in BOTH {
        let y = resize_bilinear(&x, (120, 99), corners).unwrap();
        let turned = resize_bilinear(&x.transpose(2, 3).unwrap(), (99, 120), corners).unwrap().transpose(2, 3).unwrap();
        assert_close("transposed", &turned, &y, 1e-14).unwrap();
        let single = resize_bilinear(&x.to_dtype(DType::F32).unwrap(), (120, 99), corners).unwrap();
        assert_eq!(single.dtype(), DType::F32);
        assert_close("f32", &single, &y, 3e-7).unwrap();
    }
}

#[test]
fn wrong_shapes_are_errors() {
    assert!(resize_bilinear(&ramp(&[2, 3, 4]), (2, 2), Corners::Aligned).is_err());
    assert!(resize_bilinear(&ramp(&[1, 1, 3, 4]), (0, 2), Corners::Aligned).is_err());
    assert!(resize_bilinear(&ramp(&[1, 1, 0, 4]), (2, 2), Corners::Aligned).is_err());
    assert!(resize_nearest(&ramp(&[1, 1, 3, 4]), (2, 0)).is_err());
    assert_eq!(resize_nearest(&ramp(&[0, 1, 3, 4]), (2, 2)).unwrap().dims(), [0, 1, 2, 2]);
}
