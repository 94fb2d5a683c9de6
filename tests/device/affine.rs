use candle_wsss::Result;
use candle_wsss::ops::{affine, affine_relu};

use super::support::{TYPES, compare, normal};

#[test]
fn scale_and_shift_on_devices() -> Result<()> {
    for dtype in TYPES {
        for dims in [&[2, 3, 5, 7][..], &[1, 1, 1, 1], &[19, 2, 4, 3], &[3, 40, 17, 1]] {
            let channels = [dims[1]];
            let inputs =
                [normal("x", dims, dtype)?, normal("scale", &channels, dtype)?, normal("shift", &channels, dtype)?];
            compare(&format!("affine {dims:?} {dtype:?}"), &inputs, |x| affine(&x[0], &x[1], &x[2]))?;
            compare(&format!("affine_relu {dims:?} {dtype:?}"), &inputs, |x| affine_relu(&x[0], &x[1], &x[2]))?;
        }
    }
    Ok(())
}

#[test]
fn frozen_scale_and_shift_on_devices() -> Result<()> {
    for dtype in TYPES {
        let frozen = [normal("scale", &[3], dtype)?, normal("shift", &[3], dtype)?];
        compare(&format!("frozen {dtype:?}"), &[normal("x", &[2, 3, 5, 7], dtype)?], |x| {
            let device = x[0].device();
            affine_relu(&x[0], &frozen[0].to_device(device)?, &frozen[1].to_device(device)?)
        })?;
    }
    Ok(())
}
