//! Normalisation of planes against what it is put together from.

use candle_core::{DType, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{max_keepdim, max_norm, min_keepdim, min_max_norm, relu};
use candle_wsss::testing::{assert_close, gradient_error, randn};

use super::{gradient, tensor};

const EPSILON: f64 = 1e-5;

fn composed(x: &Tensor) -> Result<Tensor> {
    let r = relu(x)?;
    let flat = r.flatten_from(2)?;
    let most = max_keepdim(&flat, 2)?.unsqueeze(3)?;
    let least = min_keepdim(&flat, 2)?.unsqueeze(3)?;
    let above = relu(&(r.broadcast_sub(&least)? - EPSILON)?)?;
    Ok(above.broadcast_div(&((most - least)? + EPSILON)?)?)
}

#[test]
fn is_the_composed_form() {
    for (seed, dims) in [(0, [2, 3, 5, 7]), (1, [1, 1, 1, 1]), (2, [1, 2, 33, 20])] {
        for shift in [0.0, 2.0, -9.0] {
            for levels in [false, true] {
                let x = (randn(seed, &dims).unwrap() + shift).unwrap();
                let x = if levels { x.round().unwrap() } else { x };
                assert_close("value", &max_norm(&x, EPSILON).unwrap(), &composed(&x).unwrap(), 0.0).unwrap();
                let (got, want) = (gradient(&x, |x| max_norm(x, EPSILON)), gradient(&x, composed));
                assert_close("gradient", &tensor(&got, &dims), &tensor(&want, &dims), 1e-11).unwrap();
                let single = x.to_dtype(DType::F32).unwrap();
                let want = composed(&single).unwrap();
                assert_close("single", &max_norm(&single, EPSILON).unwrap(), &want, 0.0).unwrap();
            }
        }
    }
}

#[test]
fn gradient_is_that_of_finite_differences() {
    let x = (randn(3, &[2, 2, 3, 4]).unwrap() + 1.0).unwrap();
    let weights = randn(4, &[2, 2, 3, 4]).unwrap();
    let error = gradient_error(&[x], 100, |x| Ok((max_norm(&x[0], EPSILON)? * &weights)?.sum_all()?));
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn wrong_input_is_named() {
    let x = randn(0, &[1, 2, 3, 3]).unwrap();
    assert!(max_norm(&x, -1.0).unwrap_err().to_string().contains("positive epsilon"));
    assert!(min_max_norm(&x.get(0).unwrap(), EPSILON).unwrap_err().to_string().contains("(N, C, h, w)"));
    assert!(max_norm(&randn(0, &[1, 2, 0, 3]).unwrap(), EPSILON).unwrap_err().to_string().contains("0x3"));
}
