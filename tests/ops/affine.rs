use candle_core::{DType, Tensor, Var};
use candle_wsss::Result;
use candle_wsss::ops::{affine, affine_relu};
use candle_wsss::testing::{assert_close, gradient_error, randn};

use super::{gradient, ramp, tensor, values};

fn composed(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Tensor {
    let channels = scale.elem_count();
    let wide = |t: &Tensor| t.reshape((1, channels, 1, 1)).unwrap();
    x.broadcast_mul(&wide(scale)).unwrap().broadcast_add(&wide(shift)).unwrap()
}

#[test]
fn values_are_those_of_the_composition() {
    for dims in [[2, 3, 4, 5], [1, 1, 1, 1], [3, 7, 50, 41]] {
        let (x, scale) = (randn(1, &dims).unwrap(), randn(2, &[dims[1]]).unwrap());
        let shift = randn(3, &[dims[1]]).unwrap();
        let want = composed(&x, &scale, &shift);
        assert_eq!(values(&affine(&x, &scale, &shift).unwrap()), values(&want));
        let want: Vec<f64> = values(&want).iter().map(|v| v.max(0.0)).collect();
        assert_eq!(values(&affine_relu(&x, &scale, &shift).unwrap()), want);
        let turned = x.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
        assert_eq!(values(&affine_relu(&turned, &scale, &shift).unwrap()), want);
        let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
        let y = affine_relu(&single(&x), &single(&scale), &single(&shift)).unwrap();
        assert_close("f32", &y, &tensor(&want, &dims), 1e-6).unwrap();
    }
}

#[test]
fn gradients_match_differences() {
    let inputs = [randn(4, &[3, 4, 3, 5]).unwrap(), randn(5, &[4]).unwrap(), randn(6, &[4]).unwrap()];
    for op in [affine as fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>, affine_relu] {
        let error = gradient_error(&inputs, 60, |t| {
            let y = op(&t[0], &t[1], &t[2])?;
            Ok((y.sqr()? * ramp(y.dims()))?.sum_all()?)
        });
        assert!(error.unwrap() < 1e-7);
    }
}

#[test]
fn no_gradient_where_the_result_is_zero() {
    let x = tensor(&[-1.0, 0.0, 1.0, 2.0], &[1, 1, 2, 2]);
    let (scale, shift) = (tensor(&[3.0], &[1]), tensor(&[-3.0], &[1]));
    assert_eq!(gradient(&x, |x| affine_relu(x, &scale, &shift)), [0.0, 0.0, 0.0, 12.0]);
    assert_eq!(gradient(&x, |x| affine(x, &scale, &shift)), [3.0, 6.0, 9.0, 12.0]);
    assert_eq!(gradient(&scale, |scale| affine_relu(&x, scale, &shift)), [8.0]);
    assert_eq!(gradient(&shift, |shift| affine_relu(&x, &scale, shift)), [4.0]);
}

#[test]
fn frozen_parameters_get_no_gradient() {
    let vars: Vec<Var> =
        [ramp(&[1, 2, 2, 2]), ramp(&[2]), ramp(&[2])].iter().map(|t| Var::from_tensor(t).unwrap()).collect();
    let frozen: Vec<Tensor> = vars.iter().map(Var::as_detached_tensor).collect();
    let tracked: Vec<Tensor> = vars.iter().map(|v| v.as_tensor().clone()).collect();
    for which in 0..3 {
        let mut inputs = frozen.clone();
        inputs[which] = tracked[which].clone();
        let grads = affine_relu(&inputs[0], &inputs[1], &inputs[2]).unwrap().backward().unwrap();
        for (i, input) in inputs.iter().enumerate() {
            assert_eq!(grads.get(input).is_some(), i == which);
        }
    }
}

#[test]
fn wrong_shapes_are_errors() {
    let x = ramp(&[1, 2, 2, 2]);
    let error = affine(&x, &ramp(&[3]), &ramp(&[2])).unwrap_err().to_string();
    assert!(error.contains("affine scale: expected shape (2), got [3]"), "{error}");
    assert!(affine(&x, &ramp(&[2]), &ramp(&[2, 1])).is_err());
    assert!(affine_relu(&ramp(&[2, 2]), &ramp(&[2]), &ramp(&[2])).is_err());
}
