use candle_core::{DType, Tensor, Var};
use candle_wsss::ops::{Conv2dSpec, DepthwiseSpec, conv2d, depthwise_conv2d};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use proptest::prelude::*;

use super::{ramp, tensor, values};

/// Result, and the gradients of the sum of `y * cotangent`, by the definition.
fn naive(x: &Tensor, weight: &Tensor, spec: DepthwiseSpec) -> [Tensor; 3] {
    let DepthwiseSpec { stride, padding, dilation } = spec;
    let (n, c, h, w) = x.dims4().unwrap();
    let (_, _, kh, kw) = weight.dims4().unwrap();
    let oh = (h + 2 * padding - dilation * (kh - 1) - 1) / stride + 1;
    let ow = (w + 2 * padding - dilation * (kw - 1) - 1) / stride + 1;
    let dims = [n, c, oh, ow];
    let (xs, ws, rs) = (values(x), values(weight), values(&cotangent(&dims)));
    let (mut y, mut of_x, mut of_weight) = (vec![0.0; rs.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
    for at in 0..rs.len() {
        let (plane, row, column) = (at / (oh * ow), at / ow % oh, at % ow);
        for p in 0..kh {
            for q in 0..kw {
                let (i, j) = (row * stride + p * dilation, column * stride + q * dilation);
                if i >= padding && j >= padding && i < h + padding && j < w + padding {
                    let pixel = (plane * h + i - padding) * w + j - padding;
                    let tap = (plane % c * kh + p) * kw + q;
                    y[at] += xs[pixel] * ws[tap];
                    of_x[pixel] += rs[at] * ws[tap];
                    of_weight[tap] += rs[at] * xs[pixel];
                }
            }
        }
    }
    [tensor(&y, &dims), tensor(&of_x, x.dims()), tensor(&of_weight, weight.dims())]
}

fn cotangent(dims: &[usize]) -> Tensor {
    randn(99, dims).unwrap()
}

fn all(x: &Tensor, weight: &Tensor, convolve: impl Fn(&Tensor, &Tensor) -> candle_wsss::Result<Tensor>) -> [Tensor; 3] {
    let (x, weight) = (Var::from_tensor(x).unwrap(), Var::from_tensor(weight).unwrap());
    let y = convolve(x.as_tensor(), weight.as_tensor()).unwrap();
    let r = cotangent(y.dims()).to_dtype(y.dtype()).unwrap();
    let grads = (&y * r).unwrap().sum_all().unwrap().backward().unwrap();
    [y.detach(), grads.get(&x).unwrap().clone(), grads.get(&weight).unwrap().clone()]
}

fn check(x: &[usize], weight: &[usize], spec: DepthwiseSpec) {
    let (x, weight) = (randn(1, x).unwrap(), randn(2, weight).unwrap());
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let want = naive(&x, &weight, spec);
    let got = all(&x, &weight, |x, weight| depthwise_conv2d(x, weight, spec));
    let got_single = all(&single(&x), &single(&weight), |x, weight| depthwise_conv2d(x, weight, spec));
    let DepthwiseSpec { stride, padding, dilation } = spec;
    let grouped = Conv2dSpec { stride, padding, dilation, groups: x.dim(1).unwrap() };
    let grouped = all(&x, &weight, |x, weight| conv2d(x, weight, grouped));
    for (i, want) in want.iter().enumerate() {
        let what = format!("{:?} {:?} {spec:?}, tensor {i}", x.dims(), weight.dims());
        assert_close(&what, &got[i], want, 1e-13).unwrap();
        assert_close(&what, &got[i], &grouped[i], 1e-13).unwrap();
        assert_close(&what, &got_single[i], want, 1e-5).unwrap();
        assert_eq!(got_single[i].dtype(), DType::F32);
    }
}

fn spec(stride: usize, padding: usize, dilation: usize) -> DepthwiseSpec {
    DepthwiseSpec { stride, padding, dilation }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn values_and_gradients_are_those_of_the_loops(
        (h, w, kh, kw) in (1usize..12, 1usize..24, 1usize..4, 1usize..4),
        (stride, padding, dilation) in (1usize..4, 0usize..4, 1usize..4),
        (images, channels) in (1usize..4, 1usize..5),
    ) {
        let fits = |size, kernel| size + 2 * padding > dilation * (kernel - 1);
        prop_assume!(fits(h, kh) && fits(w, kw));
        check(&[images, channels, h, w], &[channels, 1, kh, kw], spec(stride, padding, dilation));
    }
}

#[test]
fn maps_larger_than_a_task_and_taps_off_the_map() {
    check(&[2, 3, 140, 131], &[3, 1, 3, 3], spec(1, 1, 1));
    check(&[2, 3, 133, 140], &[3, 1, 3, 3], spec(2, 1, 1));
    check(&[2, 2, 3, 3], &[2, 1, 3, 3], spec(1, 12, 12));
    check(&[1, 1, 1, 1], &[1, 1, 1, 1], spec(1, 0, 1));
    check(&[1, 2, 3, 2], &[2, 1, 3, 3], spec(2, 1, 1));
}

#[test]
fn gradients_match_differences() {
    let inputs = [randn(5, &[2, 4, 7, 8]).unwrap(), randn(6, &[4, 1, 3, 3]).unwrap()];
    for spec in [spec(1, 1, 1), spec(2, 1, 1), spec(1, 2, 2), spec(2, 4, 3)] {
        let error = gradient_error(&inputs, 60, |t| {
            let y = depthwise_conv2d(&t[0], &t[1], spec)?;
            Ok((y.sqr()? * ramp(y.dims()))?.sum_all()?)
        });
        let error = error.unwrap();
        assert!(error < 1e-7, "{spec:?}: {error}");
    }
}

#[test]
fn inputs_in_any_layout() {
    let (x, weight) = (randn(7, &[3, 2, 6, 5]).unwrap(), randn(8, &[3, 1, 3, 2]).unwrap());
    let (x, weight) = (x.transpose(0, 1).unwrap(), weight.transpose(2, 3).unwrap());
    let plain = |t: &Tensor| t.contiguous().unwrap();
    let want = depthwise_conv2d(&plain(&x), &plain(&weight), spec(1, 1, 1)).unwrap();
    assert_eq!(values(&depthwise_conv2d(&x, &weight, spec(1, 1, 1)).unwrap()), values(&want));
}

#[test]
fn frozen_inputs_get_no_gradient() {
    let x = Var::from_tensor(&ramp(&[1, 2, 4, 4])).unwrap();
    let weight = Var::from_tensor(&ramp(&[2, 1, 3, 3])).unwrap();
    let (x_frozen, weight_frozen) = (x.as_detached_tensor(), weight.as_detached_tensor());
    let grads = depthwise_conv2d(x.as_tensor(), &weight_frozen, spec(1, 1, 1)).unwrap().backward().unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&weight_frozen).is_none());
    let grads = depthwise_conv2d(&x_frozen, weight.as_tensor(), spec(1, 1, 1)).unwrap().backward().unwrap();
    assert!(grads.get(&x_frozen).is_none() && grads.get(&weight).is_some());
}

#[test]
fn the_same_bits_for_every_number_of_threads() {
    for spec in [spec(1, 1, 1), spec(2, 1, 1), spec(1, 2, 2)] {
        let single = |t: Tensor| t.to_dtype(DType::F32).unwrap();
        let (x, weight) = (single(randn(1, &[3, 40, 33, 31]).unwrap()), single(randn(2, &[40, 1, 3, 3]).unwrap()));
        let with_threads = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let results = pool.install(|| all(&x, &weight, |x, weight| depthwise_conv2d(x, weight, spec)));
            results.map(|t| values(&t).into_iter().map(f64::to_bits).collect::<Vec<_>>())
        };
        let one = with_threads(1);
        assert!([2, 3, 4].into_iter().all(|threads| one == with_threads(threads)), "{spec:?}");
    }
}

#[test]
fn a_batch_without_images() {
    let got = all(&ramp(&[0, 4, 3, 3]), &ramp(&[4, 1, 3, 3]), |x, weight| depthwise_conv2d(x, weight, spec(1, 1, 1)));
    assert_eq!([got[0].dims(), got[1].dims()], [[0, 4, 3, 3]; 2]);
    assert_eq!(values(&got[2]), [0.0; 36]);
}

#[test]
fn wrong_arguments_are_errors() {
    let (x, weight) = (ramp(&[1, 4, 3, 3]), ramp(&[4, 1, 3, 3]));
    let message = |x: &Tensor, weight: &Tensor, spec| depthwise_conv2d(x, weight, spec).unwrap_err().to_string();
    let plain = DepthwiseSpec::default();
    assert!(message(&ramp(&[4, 3, 3]), &weight, plain).contains("(N, C, h, w)"));
    assert!(message(&ramp(&[1, 4, 0, 3]), &weight, plain).contains("not empty"));
    for wrong in [&[3, 1, 3, 3][..], &[4, 2, 3, 3], &[4, 1, 9], &[4, 1, 0, 3]] {
        assert!(message(&x, &ramp(wrong), plain).contains("weight: expected shape (4, 1, 1.., 1..)"), "{wrong:?}");
    }
    assert!(message(&x, &ramp(&[4, 1, 4, 1]), plain).contains("reach of a 4x1 kernel"));
    assert!(message(&x, &weight, DepthwiseSpec { dilation: 2, ..plain }).contains("dilation: 2"));
    for zero in [spec(0, 1, 1), spec(1, 1, 0)] {
        assert!(message(&x, &weight, zero).contains("at least 1, got 0"));
    }
    assert!(depthwise_conv2d(&x.to_dtype(DType::F32).unwrap(), &weight, plain).is_err());
    let integers = |t: &Tensor| t.to_dtype(DType::U32).unwrap();
    assert!(depthwise_conv2d(&integers(&x), &integers(&weight), plain).is_err());
}
