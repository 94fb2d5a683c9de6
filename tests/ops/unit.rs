use candle_core::{DType, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{unit, unit_added};
use candle_wsss::testing::{assert_close, gradient_error, randn};

use super::{gradient, ramp, tensor, values};

type Normalize = fn(&Tensor, usize, f64) -> Result<Tensor>;

/// Along `dim` of `(a, b, c)`, one vector at a time.
fn naive(x: &Tensor, dim: usize, denominator: impl Fn(f64) -> f64) -> Tensor {
    let norm = x.sqr().unwrap().sum_keepdim(dim).unwrap().sqrt().unwrap();
    let norm: Vec<f64> = values(&norm).into_iter().map(denominator).collect();
    let mut dims = x.dims().to_vec();
    dims[dim] = 1;
    x.broadcast_div(&tensor(&norm, &dims)).unwrap()
}

#[test]
fn values_along_every_axis() {
    let x = randn(3, &[3, 4, 5]).unwrap();
    for dim in 0..3 {
        let want = naive(&x, dim, |norm| norm.max(1.5));
        assert_close("unit", &unit(&x, dim, 1.5).unwrap(), &want, 1e-15).unwrap();
        let want = naive(&x, dim, |norm| norm + 0.3);
        assert_close("unit_added", &unit_added(&x, dim, 0.3).unwrap(), &want, 1e-15).unwrap();
    }
    let turned = x.transpose(0, 2).unwrap();
    let want = naive(&x, 0, |norm| norm.max(1e-12)).transpose(0, 2).unwrap();
    assert_close("transposed", &unit(&turned, 2, 1e-12).unwrap(), &want, 1e-15).unwrap();
    assert_eq!(unit(&x.to_dtype(DType::F32).unwrap(), 1, 1e-12).unwrap().dtype(), DType::F32);
}

#[test]
fn gradients_along_every_axis() {
    let x = randn(4, &[3, 4, 5]).unwrap();
    // Some vectors are shorter than 1.5, some longer.
    for (normalize, eps) in [(unit as Normalize, 1e-12), (unit, 1.5), (unit_added, 0.3)] {
        for dim in 0..3 {
            let error = gradient_error(std::slice::from_ref(&x), 60, |x| {
                Ok((normalize(&x[0], dim, eps)? * ramp(&[3, 4, 5]))?.sum_all()?)
            });
            assert!(error.unwrap() < 1e-7);
        }
    }
}

#[test]
fn the_zero_vector_has_a_finite_gradient() {
    let x = tensor(&[0.0, 0.0, 3.0, 4.0], &[2, 2]);
    for normalize in [unit as Normalize, unit_added] {
        assert_eq!(values(&normalize(&x, 1, 0.5).unwrap())[..2], [0.0, 0.0]);
        assert_eq!(gradient(&x, |x| normalize(x, 1, 0.5))[..2], [2.0, 4.0]);
    }
    let tiny = gradient(&x.to_dtype(DType::F32).unwrap(), |x| unit(x, 1, 1e-12));
    assert!((tiny[0] / 1e12 - 1.0).abs() < 1e-6, "{tiny:?}");
}

#[test]
fn at_eps_itself_the_norm_counts() {
    // On the sphere of radius eps: only the tangential part of the gradient (1, 2) is left.
    let slope = gradient(&tensor(&[0.5, 0.0], &[1, 2]), |x| unit(x, 1, 0.5));
    assert_eq!(slope, [0.0, 4.0]);
}

#[test]
fn wrong_arguments_are_errors() {
    let x = ramp(&[2, 2]);
    for eps in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        assert!(unit(&x, 1, eps).is_err());
        assert!(unit_added(&x, 1, eps).is_err());
    }
    assert!(unit(&x, 2, 1e-5).is_err());
}
