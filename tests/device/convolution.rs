use candle_wsss::Result;
use candle_wsss::ops::{
    Conv2dSpec, DepthwiseSpec, Precision, affine_relu_conv2d, conv2d, convolution_precision, depthwise_conv2d,
};

use super::support::{TYPES, compare, normal};

fn spec(stride: usize, padding: usize, dilation: usize, groups: usize) -> Conv2dSpec {
    Conv2dSpec { stride, padding, dilation, groups }
}

#[test]
fn convolutions_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (input, weight, spec) in [
            ([2, 3, 7, 8], [4, 3, 3, 3], spec(1, 1, 1, 1)),
            ([2, 4, 9, 7], [6, 2, 3, 3], spec(2, 1, 1, 2)),
            ([1, 5, 6, 5], [3, 5, 1, 1], spec(1, 0, 1, 1)),
            ([2, 2, 8, 9], [3, 2, 3, 3], spec(1, 2, 2, 1)),
            ([1, 3, 11, 10], [2, 3, 7, 5], spec(3, 4, 1, 1)),
            ([1, 2, 5, 5], [2, 2, 1, 1], spec(2, 1, 1, 1)),
            ([1, 6, 4, 4], [6, 1, 3, 3], spec(1, 1, 1, 6)),
            ([3, 1, 1, 1], [1, 1, 1, 1], spec(1, 0, 1, 1)),
            ([0, 2, 4, 4], [3, 2, 3, 3], spec(1, 1, 1, 1)),
        ] {
            let inputs = [normal("x", &input, dtype)?, normal("weight", &weight, dtype)?];
            let what = format!("conv2d {input:?} {weight:?} {spec:?} {dtype:?}");
            compare(&what, &inputs, |x| conv2d(&x[0], &x[1], spec))?;
        }
    }
    Ok(())
}

#[test]
fn depthwise_convolutions_on_devices() -> Result<()> {
    for dtype in TYPES {
        for (input, kernel, (stride, padding, dilation)) in [
            ([2, 3, 7, 8], [3, 3], (1, 1, 1)),
            ([1, 4, 9, 8], [3, 3], (2, 1, 1)),
            ([2, 2, 10, 9], [3, 5], (1, 2, 2)),
            ([1, 2, 4, 5], [1, 1], (3, 1, 1)),
            ([1, 1, 2, 2], [2, 2], (1, 0, 1)),
        ] {
            let spec = DepthwiseSpec { stride, padding, dilation };
            let inputs = [normal("x", &input, dtype)?, normal("weight", &[input[1], 1, kernel[0], kernel[1]], dtype)?];
            let what = format!("depthwise {input:?} {kernel:?} {spec:?} {dtype:?}");
            compare(&what, &inputs, |x| depthwise_conv2d(&x[0], &x[1], spec))?;
        }
    }
    Ok(())
}

#[test]
fn convolutions_are_exact_unless_told_otherwise() {
    assert_eq!(convolution_precision(), Precision::Float32);
}

/// On devices made of its parts; on the CPU one pass where scale and shift are frozen.
#[test]
fn activated_convolutions_on_devices() -> Result<()> {
    for dtype in TYPES {
        let frozen = [normal("scale", &[3], dtype)?, normal("shift", &[3], dtype)?];
        let inputs = [
            normal("x", &[2, 3, 5, 6], dtype)?,
            normal("weight", &[4, 3, 3, 3], dtype)?,
            normal("added", &[2, 4, 5, 6], dtype)?,
        ];
        compare(&format!("activated {dtype:?}"), &inputs, |x| {
            let (scale, shift) = (frozen[0].to_device(x[0].device())?, frozen[1].to_device(x[0].device())?);
            affine_relu_conv2d(&x[0], [&scale, &shift], &x[1], spec(1, 1, 1, 1), Some(&x[2]))
        })?;
    }
    Ok(())
}

/// What is frozen gets no gradient on a device either.
#[test]
fn frozen_parts_of_convolutions_on_devices() -> Result<()> {
    for dtype in TYPES {
        let (x, weight) = (normal("x", &[2, 3, 5, 6], dtype)?, normal("weight", &[4, 3, 3, 3], dtype)?);
        let spec = spec(1, 1, 1, 1);
        compare(&format!("weight {dtype:?}"), std::slice::from_ref(&weight), |w| {
            conv2d(&x.to_device(w[0].device())?, &w[0], spec)
        })?;
        compare(&format!("input {dtype:?}"), std::slice::from_ref(&x), |x| {
            conv2d(&x[0], &weight.to_device(x[0].device())?, spec)
        })?;
    }
    Ok(())
}
