use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{abs, clamp, relu, soft_margin};
use candle_wsss::testing::{assert_close, gradient_error, randn};

use super::{gradient, ramp, tensor, values};

#[test]
fn subgradients_are_those_of_pytorch() {
    let x = tensor(&[-2.0, -0.0, 0.0, 3.0], &[4]);
    assert_eq!(values(&relu(&x).unwrap()), [0.0, 0.0, 0.0, 3.0]);
    assert_eq!(gradient(&x, relu), [0.0, 0.0, 0.0, 4.0]);
    assert_eq!(values(&abs(&x).unwrap()), [2.0, 0.0, 0.0, 3.0]);
    assert_eq!(gradient(&x, abs), [-1.0, 0.0, 0.0, 4.0]);

    let x = tensor(&[-1.5, -1.0, 0.2, 2.0, 2.5], &[5]);
    let limited = |x: &Tensor| clamp(x, -1.0, 2.0);
    assert_eq!(values(&limited(&x).unwrap()), [-1.0, -1.0, 0.2, 2.0, 2.0]);
    assert_eq!(gradient(&x, limited), [0.0, 2.0, 3.0, 4.0, 0.0]);
}

#[test]
fn nan_passes_and_infinity_has_no_gradient() {
    let x = tensor(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY], &[3]);
    assert!(values(&relu(&x).unwrap())[0].is_nan());
    assert!(values(&abs(&x).unwrap())[0].is_nan());
    let limited = |x: &Tensor| clamp(x, 0.0, 1.0);
    let y = values(&limited(&x).unwrap());
    assert!(y[0].is_nan());
    assert_eq!(y[1..], [1.0, 0.0]);
    assert_eq!(gradient(&x, limited)[1..], [0.0, 0.0]);
}

#[test]
fn clamp_refuses_an_empty_interval() {
    let x = ramp(&[2]);
    assert!(clamp(&x, 1.0, 0.0).is_err());
    assert!(clamp(&x, f64::NAN, 0.0).is_err());
    assert!(clamp(&x, 1.5, 1.5).is_ok());
}

#[test]
fn large_and_strided_inputs_are_as_small_ones() {
    let x = randn(1, &[130, 260]).unwrap();
    let want: Vec<f64> = values(&x).iter().map(|x| x.max(0.0)).collect();
    assert_eq!(values(&relu(&x).unwrap()), want);
    let back = relu(&x.t().unwrap()).unwrap().t().unwrap();
    assert_eq!(values(&back), want);
    let slope = gradient(&x, relu);
    let want: Vec<f64> = values(&x).iter().zip(1..).map(|(x, i)| if *x > 0.0 { f64::from(i) } else { 0.0 }).collect();
    assert_eq!(slope, want);
}

#[test]
fn other_types_are_errors() {
    let x = Tensor::zeros(3, DType::U32, &Device::Cpu).unwrap();
    assert!(relu(&x).unwrap_err().to_string().contains("floating point"));
    let x = Tensor::zeros(3, DType::F32, &Device::Cpu).unwrap();
    assert_eq!(relu(&x).unwrap().dtype(), DType::F32);
}

#[test]
fn soft_margin_is_the_cross_entropy_and_its_slope_is_sigma_minus_target() {
    let logits = tensor(&[0.0, -0.0, 1.5, -40.0, 800.0, -800.0], &[2, 3]);
    let targets = tensor(&[1.0, 0.0, 1.0, 1.0, 1.0, 0.0], &[2, 3]);
    let loss = soft_margin(&logits, &targets).unwrap().to_scalar::<f64>().unwrap();
    let want = (2.0 * 2f64.ln() + (1.0 + (-1.5f64).exp()).ln() + 40.0 + (-40f64).exp()) / 6.0;
    assert!((loss - want).abs() < 1e-14, "{loss} {want}");

    let slope = gradient(&logits, |x| soft_margin(x, &targets));
    let want = [-0.5, 0.5, -1.0 / (1.0 + 1.5f64.exp()), -1.0 / (1.0 + (-40f64).exp()), 0.0, 0.0];
    assert_close("slope", &(tensor(&slope, &[6]) * 6.0).unwrap(), &tensor(&want, &[6]), 1e-15).unwrap();

    let error = gradient_error(&[randn(2, &[4, 5]).unwrap()], 20, |x| soft_margin(&x[0], &(ramp(&[4, 5]) / 20.0)?));
    assert!(error.unwrap() < 1e-6);
    assert!(soft_margin(&logits, &ramp(&[3, 2])).unwrap_err().to_string().contains("[2, 3]"));
}
