use candle_core::{DType, Tensor, Var};
use candle_wsss::ops::{Conv2dSpec, conv2d};
use candle_wsss::testing::{assert_close, gradient_error, randn};
use proptest::prelude::*;

use super::{ramp, tensor, values};

struct Oracle {
    y: Tensor,
    x_gradient: Tensor,
    weight_gradient: Tensor,
}

/// The definition in nine loops; gradients of the sum of `y * r`.
fn naive(x: &Tensor, weight: &Tensor, r: impl Fn(&[usize]) -> Tensor, spec: Conv2dSpec) -> Oracle {
    let Conv2dSpec { stride, padding, dilation, groups } = spec;
    let (n, c, h, w) = x.dims4().unwrap();
    let (k, inputs, kh, kw) = weight.dims4().unwrap();
    let oh = (h + 2 * padding - dilation * (kh - 1) - 1) / stride + 1;
    let ow = (w + 2 * padding - dilation * (kw - 1) - 1) / stride + 1;
    let dims = [n, k, oh, ow];
    let (xs, ws, rs) = (values(x), values(weight), values(&r(&dims)));
    let (mut y, mut gx, mut gw) = (vec![0.0; rs.len()], vec![0.0; xs.len()], vec![0.0; ws.len()]);
    for (at, y) in y.iter_mut().enumerate() {
        let (image, output, row, column) = (at / (k * oh * ow), at / (oh * ow) % k, at / ow % oh, at % ow);
        for input in 0..inputs {
            let channel = output / (k / groups) * inputs + input;
            for p in 0..kh {
                for q in 0..kw {
                    let (i, j) = (row * stride + p * dilation, column * stride + q * dilation);
                    if i < padding || j < padding || i >= h + padding || j >= w + padding {
                        continue;
                    }
                    let pixel = ((image * c + channel) * h + i - padding) * w + j - padding;
                    let tap = ((output * inputs + input) * kh + p) * kw + q;
                    *y += xs[pixel] * ws[tap];
                    gx[pixel] += rs[at] * ws[tap];
                    gw[tap] += rs[at] * xs[pixel];
                }
            }
        }
    }
    Oracle { y: tensor(&y, &dims), x_gradient: tensor(&gx, x.dims()), weight_gradient: tensor(&gw, weight.dims()) }
}

/// Result and both gradients of the sum of `y * r`.
fn all(x: &Tensor, weight: &Tensor, r: impl Fn(&[usize]) -> Tensor, spec: Conv2dSpec) -> [Tensor; 3] {
    let (x, weight) = (Var::from_tensor(x).unwrap(), Var::from_tensor(weight).unwrap());
    let y = conv2d(x.as_tensor(), weight.as_tensor(), spec).unwrap();
    let r = r(y.dims()).to_dtype(y.dtype()).unwrap();
    let grads = (&y * r).unwrap().sum_all().unwrap().backward().unwrap();
    [y.detach(), grads.get(&x).unwrap().clone(), grads.get(&weight).unwrap().clone()]
}

fn noise(dims: &[usize]) -> Tensor {
    randn(99, dims).unwrap()
}

fn check(x: &[usize], weight: &[usize], spec: Conv2dSpec) {
    let (x, weight) = (randn(1, x).unwrap(), randn(2, weight).unwrap());
    let want = naive(&x, &weight, noise, spec);
    let got = all(&x, &weight, noise, spec);
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let got_single = all(&single(&x), &single(&weight), noise, spec);
    let what = format!("{:?} {:?} {spec:?}", x.dims(), weight.dims());
    for (i, want) in [want.y, want.x_gradient, want.weight_gradient].iter().enumerate() {
        assert_close(&format!("{what}, tensor {i}"), &got[i], want, 1e-13).unwrap();
        assert_close(&format!("{what}, tensor {i}, f32"), &got_single[i], want, 1e-5).unwrap();
        assert_eq!(got_single[i].dtype(), DType::F32);
    }
}

fn spec(stride: usize, padding: usize, dilation: usize) -> Conv2dSpec {
    Conv2dSpec { stride, padding, dilation, groups: 1 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn values_and_gradients_are_those_of_the_loops(
        (h, w, kh, kw) in (1usize..10, 1usize..10, 1usize..4, 1usize..4),
        (stride, padding, dilation, groups) in (1usize..4, 0usize..4, 1usize..4, 1usize..3),
        (images, inputs, outputs) in (1usize..6, 1usize..4, 1usize..4),
    ) {
        let fits = |size, kernel| size + 2 * padding > dilation * (kernel - 1);
        prop_assume!(fits(h, kh) && fits(w, kw));
        let spec = Conv2dSpec { stride, padding, dilation, groups };
        check(&[images, groups * inputs, h, w], &[groups * outputs, inputs, kh, kw], spec);
    }
}

/// What comes back has as many positions as the input, but is not read where it lies.
#[test]
fn a_stride_as_wide_as_its_padding() {
    check(&[1, 1, 4, 4], &[1, 1, 1, 1], spec(3, 3, 1));
    check(&[2, 3, 4, 8], &[2, 3, 1, 1], spec(3, 3, 1));
    check(&[1, 2, 16, 16], &[3, 2, 1, 1], spec(2, 8, 1));
}

#[test]
fn sides_of_different_parity() {
    for (h, w) in [(7, 8), (8, 7), (7, 7), (8, 8), (1, 2)] {
        check(&[2, 3, h, w], &[4, 3, 3, 3], spec(2, 1, 1));
        check(&[5, 3, h, w], &[4, 3, 1, 1], spec(2, 0, 1));
    }
}

#[test]
fn sizes_that_are_cut_into_blocks() {
    // Several blocks of rows, one image and many.
    check(&[1, 8, 66, 67], &[3, 8, 3, 3], spec(1, 1, 1));
    check(&[5, 9, 41, 45], &[2, 9, 3, 3], spec(1, 2, 2));
    // Several blocks of input channels, and a last one that is smaller; products deeper than a block of gemm.
    check(&[2, 65, 9, 7], &[10, 65, 3, 3], spec(1, 4, 4));
    check(&[3, 601, 3, 5], &[7, 601, 1, 1], spec(1, 0, 1));
    check(&[9, 4, 6, 6], &[34, 4, 3, 3], spec(1, 1, 1));
}

#[test]
fn sizes_with_many_results() {
    // So many that tiles are copied together: with taps that meet nothing in some rows, several blocks of channels,
    // images that share tiles, strides forward and backward.
    check(&[3, 5, 12, 12], &[97, 5, 3, 3], spec(1, 4, 4));
    check(&[2, 100, 8, 8], &[98, 100, 3, 3], spec(1, 1, 1));
    check(&[5, 3, 5, 7], &[100, 3, 3, 3], spec(2, 1, 1));
    check(&[3, 99, 9, 6], &[3, 99, 3, 3], spec(2, 1, 1));
    check(&[4, 9, 3, 3], &[130, 9, 1, 1], spec(1, 0, 1));
    check(&[1, 100, 20, 60], &[101, 100, 1, 1], spec(1, 0, 1));
    check(&[1, 3, 5, 500], &[4, 3, 5, 3], spec(1, 2, 1));
}

#[test]
fn depthwise_and_single_pixels() {
    check(&[3, 6, 5, 4], &[6, 1, 3, 3], Conv2dSpec { groups: 6, padding: 1, ..Default::default() });
    check(&[1, 1, 1, 1], &[1, 1, 1, 1], Conv2dSpec::default());
    check(&[4, 2, 1, 1], &[3, 2, 3, 3], spec(1, 4, 4));
    // A tap that never meets the map.
    check(&[2, 2, 3, 3], &[2, 2, 3, 3], spec(1, 12, 12));
}

#[test]
fn forward_is_that_of_candle() {
    let x = randn(3, &[2, 6, 11, 9]).unwrap();
    for (kernel, spec) in [
        (3, spec(1, 1, 1)),
        (3, spec(2, 1, 1)),
        (3, spec(1, 2, 2)),
        (1, spec(2, 0, 1)),
        (5, Conv2dSpec { groups: 2, padding: 2, ..Default::default() }),
    ] {
        let weight = randn(4, &[4, 6 / spec.groups, kernel, kernel]).unwrap();
        let want = x.conv2d(&weight, spec.padding, spec.stride, spec.dilation, spec.groups).unwrap();
        assert_close("forward", &conv2d(&x, &weight, spec).unwrap(), &want, 1e-14).unwrap();
    }
}

#[test]
fn gradients_match_differences() {
    let inputs = [randn(5, &[2, 4, 7, 8]).unwrap(), randn(6, &[6, 2, 3, 3]).unwrap()];
    let spec = Conv2dSpec { stride: 2, padding: 1, dilation: 1, groups: 2 };
    let error = gradient_error(&inputs, 60, |t| {
        let y = conv2d(&t[0], &t[1], spec)?;
        Ok((y.sqr()? * ramp(y.dims()))?.sum_all()?)
    });
    assert!(error.unwrap() < 1e-7);
}

#[test]
fn inputs_in_any_layout() {
    let (x, weight) = (randn(7, &[2, 3, 6, 5]).unwrap(), randn(8, &[3, 4, 3, 3]).unwrap());
    let turned = |t: &Tensor| t.transpose(2, 3).unwrap().contiguous().unwrap().transpose(2, 3).unwrap();
    let weight_turned = weight.transpose(0, 1).unwrap();
    let plain = conv2d(&x, &weight_turned.contiguous().unwrap(), spec(1, 1, 1)).unwrap();
    let strided = conv2d(&turned(&x), &weight_turned, spec(1, 1, 1)).unwrap();
    assert_eq!(values(&plain), values(&strided));
}

#[test]
fn frozen_inputs_get_no_gradient() {
    let (x, weight) =
        (Var::from_tensor(&ramp(&[1, 1, 4, 4])).unwrap(), Var::from_tensor(&ramp(&[1, 1, 3, 3])).unwrap());
    let frozen = |t: &Var| t.as_detached_tensor();
    let (x_frozen, weight_frozen) = (frozen(&x), frozen(&weight));
    let grads = conv2d(x.as_tensor(), &weight_frozen, spec(1, 1, 1)).unwrap().backward().unwrap();
    assert!(grads.get(&x).is_some() && grads.get(&weight_frozen).is_none());
    let grads = conv2d(&x_frozen, weight.as_tensor(), spec(1, 1, 1)).unwrap().backward().unwrap();
    assert!(grads.get(&x_frozen).is_none() && grads.get(&weight).is_some());
}

#[test]
fn the_same_bits_for_every_number_of_threads() {
    let cases: &[(&[usize], &[usize], Conv2dSpec)] = &[
        (&[8, 16, 24, 24], &[32, 16, 3, 3], spec(1, 1, 1)),
        (&[8, 96, 12, 12], &[80, 96, 3, 3], spec(1, 2, 2)),
        (&[8, 130, 6, 6], &[150, 130, 3, 3], spec(1, 4, 4)),
        (&[7, 3, 33, 31], &[8, 3, 3, 3], spec(2, 1, 1)),
        (&[1, 40, 47, 47], &[64, 40, 3, 3], spec(1, 1, 1)),
        (&[2, 300, 20, 21], &[200, 300, 1, 1], spec(1, 0, 1)),
        (&[3, 48, 30, 30], &[96, 48, 3, 3], spec(2, 1, 1)),
    ];
    for dtype in [DType::F32, DType::F64] {
        for &(x, weight, spec) in cases {
            let x = randn(1, x).unwrap().to_dtype(dtype).unwrap();
            let weight = randn(2, weight).unwrap().to_dtype(dtype).unwrap();
            let with_threads = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let results = pool.install(|| all(&x, &weight, noise, spec));
                results.map(|t| values(&t).into_iter().map(f64::to_bits).collect::<Vec<_>>())
            };
            let one = with_threads(1);
            for threads in [2, 3, 4] {
                assert!(one == with_threads(threads), "{:?} {threads} threads", x.dims());
            }
        }
    }
}

#[test]
fn wrong_arguments_are_errors() {
    let (x, weight) = (ramp(&[1, 4, 3, 3]), ramp(&[2, 4, 3, 3]));
    let message = |x: &Tensor, weight: &Tensor, spec| conv2d(x, weight, spec).unwrap_err().to_string();
    let plain = Conv2dSpec::default();
    assert!(message(&ramp(&[4, 3, 3]), &weight, plain).contains("(N, C, h, w)"));
    assert!(message(&x, &ramp(&[2, 3, 3, 3]), plain).contains("got [2, 3, 3, 3]"));
    assert!(message(&x, &ramp(&[2, 4, 9]), plain).contains("weight"));
    assert!(message(&x, &ramp(&[3, 2, 1, 1]), Conv2dSpec { groups: 2, ..plain }).contains("multiple of 2"));
    assert!(message(&x, &ramp(&[2, 4, 4, 1]), plain).contains("reach of a 4x1 kernel"));
    assert!(message(&x, &weight, Conv2dSpec { dilation: 2, ..plain }).contains("dilation: 2"));
    for zero in [spec(0, 1, 1), spec(1, 1, 0), Conv2dSpec { groups: 0, ..plain }] {
        assert!(message(&x, &weight, zero).contains("at least 1, got 0"));
    }
    assert!(conv2d(&x.to_dtype(DType::F32).unwrap(), &weight, plain).is_err());
    assert!(conv2d(&x.to_dtype(DType::U32).unwrap(), &weight.to_dtype(DType::U32).unwrap(), plain).is_err());
    assert!(message(&ramp(&[1, 4, 0, 3]), &weight, spec(1, 2, 1)).contains("not empty"));
}

#[test]
fn a_batch_without_images() {
    let got = all(&ramp(&[0, 4, 3, 3]), &ramp(&[2, 4, 3, 3]), noise, spec(1, 1, 1));
    assert_eq!([got[0].dims(), got[1].dims()], [[0, 2, 3, 3], [0, 4, 3, 3]]);
    assert_eq!(values(&got[2]), [0.0; 72]);
}
