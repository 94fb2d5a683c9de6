use candle_core::Tensor;
use candle_wsss::ops::{MaxPool2dSpec, max_pool2d};
use proptest::prelude::*;

use super::{gradient, ramp, tensor, values};

fn spec(kernel: usize, stride: usize, padding: usize) -> MaxPool2dSpec {
    MaxPool2dSpec { kernel, stride, padding }
}

/// Values, and the gradient for the weights 1, 2, 3, ..
fn naive(x: &Tensor, MaxPool2dSpec { kernel, stride, padding }: MaxPool2dSpec) -> (Vec<f64>, Vec<f64>) {
    let (n, c, h, w) = x.dims4().unwrap();
    let xs = values(x);
    let (mut y, mut slope) = (vec![], vec![0.0; xs.len()]);
    for plane in 0..n * c {
        for row in 0..=(h + 2 * padding - kernel) / stride {
            for column in 0..=(w + 2 * padding - kernel) / stride {
                let mut best: Option<usize> = None;
                for i in row * stride..row * stride + kernel {
                    for j in column * stride..column * stride + kernel {
                        if i < padding || j < padding || i >= h + padding || j >= w + padding {
                            continue;
                        }
                        let pixel = (plane * h + i - padding) * w + j - padding;
                        if best.is_none_or(|best| xs[pixel] > xs[best]) {
                            best = Some(pixel);
                        }
                    }
                }
                y.push(xs[best.unwrap()]);
                slope[best.unwrap()] += y.len() as f64;
            }
        }
    }
    (y, slope)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// On maps with many ties.
    #[test]
    fn is_the_loop(
        (h, w, kernel, stride) in (1usize..9, 1usize..9, 1usize..5, 1usize..5),
        padded: bool,
        numbers in prop::collection::vec(-2i32..3, 6 * 81),
    ) {
        let spec = spec(kernel, stride, if padded { kernel / 2 } else { 0 });
        prop_assume!(h.min(w) + 2 * spec.padding >= kernel);
        let numbers: Vec<f64> = numbers[..6 * h * w].iter().map(|&v| f64::from(v)).collect();
        let x = tensor(&numbers, &[2, 3, w, h]).transpose(2, 3).unwrap();
        let (value, slope) = naive(&x, spec);
        prop_assert_eq!(values(&max_pool2d(&x, spec).unwrap()), value);
        prop_assert_eq!(gradient(&x, |x| max_pool2d(x, spec)), slope);
    }
}

#[test]
fn the_usual_window_of_a_network() {
    let x = ramp(&[1, 1, 4, 4]);
    let y = max_pool2d(&x, spec(3, 2, 1)).unwrap();
    assert_eq!(values(&y), [6.0, 8.0, 14.0, 16.0]);
    let slope = gradient(&(x * 0.0).unwrap(), |x| max_pool2d(x, spec(2, 2, 0)));
    assert_eq!(slope, [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 4.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
}

#[test]
fn minus_infinity_and_nan() {
    let x = tensor(&[f64::NEG_INFINITY, f64::NAN, 1.0, f64::NEG_INFINITY], &[1, 1, 2, 2]);
    let y = values(&max_pool2d(&x, spec(2, 1, 1)).unwrap());
    assert_eq!(y[0], f64::NEG_INFINITY);
    assert!(y[1].is_nan() && y[4].is_nan());
    assert_eq!(y[3], 1.0);
}

#[test]
fn wrong_arguments_are_errors() {
    let x = ramp(&[1, 1, 3, 5]);
    for wrong in [spec(0, 1, 0), spec(2, 0, 0), spec(2, 1, 2), spec(3, 1, 2)] {
        assert!(max_pool2d(&x, wrong).unwrap_err().to_string().contains("kernel"));
    }
    assert!(max_pool2d(&x, spec(4, 1, 0)).unwrap_err().to_string().contains("4.."));
    assert!(max_pool2d(&x, spec(5, 1, 1)).is_ok());
    assert!(max_pool2d(&ramp(&[3, 5]), spec(2, 1, 0)).is_err());
    assert!(max_pool2d(&ramp(&[1, 1, 0, 5]), spec(2, 1, 1)).is_err());
}
