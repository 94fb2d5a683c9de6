use candle_core::Tensor;
use candle_wsss::ops::{max_keepdim, min_keepdim};
use proptest::prelude::*;

use super::{gradient, ramp, tensor, values};

#[test]
fn the_first_of_equal_elements_gets_the_gradient() {
    let x = tensor(&[1.0, 5.0, 5.0, -2.0, -2.0, 7.0, 7.0, 7.0], &[2, 4]);
    assert_eq!(values(&max_keepdim(&x, 1).unwrap()), [5.0, 7.0]);
    assert_eq!(gradient(&x, |x| max_keepdim(x, 1)), [0.0, 1.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0]);
    assert_eq!(values(&min_keepdim(&x, 1).unwrap()), [-2.0, -2.0]);
    assert_eq!(gradient(&x, |x| min_keepdim(x, 1)), [0.0, 0.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0]);
}

#[test]
fn a_constant_has_its_extremum_at_the_first_place() {
    let x = tensor(&[-0.0, 0.0, 0.0, -0.0], &[1, 4]);
    assert_eq!(gradient(&x, |x| max_keepdim(x, 1)), [1.0, 0.0, 0.0, 0.0]);
    assert_eq!(gradient(&x, |x| min_keepdim(x, 1)), [1.0, 0.0, 0.0, 0.0]);
}

#[test]
fn nan_is_extremal() {
    let x = tensor(&[1.0, f64::NAN, 3.0], &[3]);
    assert!(values(&max_keepdim(&x, 0).unwrap())[0].is_nan());
    assert!(values(&min_keepdim(&x, 0).unwrap())[0].is_nan());
}

#[test]
fn other_uses_of_the_input_keep_their_gradient() {
    let x = tensor(&[3.0, 1.0], &[1, 2]);
    let slope = gradient(&x, |x| Ok((x.broadcast_sub(&max_keepdim(x, 1)?)? + x)?));
    // y = (x0, 2 x1 - x0) weighted by 1 and 2
    assert_eq!(slope, [-1.0, 4.0]);
}

#[test]
fn wrong_axes_are_errors() {
    assert!(max_keepdim(&ramp(&[2, 2]), 2).is_err());
    assert!(max_keepdim(&ramp(&[2, 0]), 1).is_err());
    assert_eq!(max_keepdim(&ramp(&[0, 2]), 1).unwrap().dims(), [0, 1]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Against a loop, on maps with many ties, along every axis, contiguous or not.
    #[test]
    fn is_the_loop(dims in prop::array::uniform3(1usize..5), seed in prop::collection::vec(-2i32..3, 64), dim in 0usize..3, turn: bool) {
        let len = dims.iter().product();
        let mut x = tensor(&seed[..len].iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), &dims);
        if turn {
            x = x.transpose(0, 2).unwrap();
        }
        for largest in [true, false] {
            let f = |x: &Tensor| if largest { max_keepdim(x, dim) } else { min_keepdim(x, dim) };
            let (value, slope) = loops(&x, dim, largest);
            prop_assert_eq!(values(&f(&x).unwrap()), value);
            prop_assert_eq!(gradient(&x, f), slope);
        }
    }
}

/// Values, and the gradient for the weights 1, 2, 3, ..
fn loops(x: &Tensor, dim: usize, largest: bool) -> (Vec<f64>, Vec<f64>) {
    let dims = x.dims().to_vec();
    let x = values(x);
    let inner: usize = dims[dim + 1..].iter().product();
    let (mut value, mut slope) = (vec![], vec![0.0; x.len()]);
    for outer in 0..dims[..dim].iter().product() {
        for after in 0..inner {
            let at = |i: usize| (outer * dims[dim] + i) * inner + after;
            let mut best = 0;
            for i in 1..dims[dim] {
                let (new, old) = (x[at(i)], x[at(best)]);
                if (largest && new > old) || (!largest && new < old) {
                    best = i;
                }
            }
            value.push(x[at(best)]);
            slope[at(best)] = value.len() as f64;
        }
    }
    (value, slope)
}
