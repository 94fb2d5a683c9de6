//! `ops::region_mean` and `ops::region_masks`.

use candle_core::{DType, Device, Tensor};
use candle_wsss::Result;
use candle_wsss::ops::{region_masks, region_mean, region_mean_composed};

use super::support::{TYPES, compare, normal};

#[test]
fn region_means_on_devices() -> Result<()> {
    for dtype in TYPES {
        for dims in [[2, 3, 4, 5], [1, 1, 1, 1], [3, 2, 19, 17]] {
            let last = dims[0] - 1;
            for images in [vec![last], vec![0, 0, 0, last, last, last, last, last]] {
                let inside: Vec<u8> =
                    (0..images.len() * dims[2] * dims[3]).map(|i| u8::from(i * 31 % 3 == 0)).collect();
                let masks = Tensor::from_vec(inside, (images.len(), dims[2], dims[3]), &Device::Cpu)?;
                // One region has no divisor.
                let divisors: Vec<f64> = (0..images.len()).map(|region| (region % 8 * 3) as f64).rev().collect();
                let divisors = Tensor::from_vec(divisors, images.len(), &Device::Cpu)?;
                let map = [normal("map", &dims, dtype)?];
                compare(&format!("region_mean {dims:?} {dtype:?}"), &map, |x| {
                    let (masks, divisors) = (masks.to_device(x[0].device())?, divisors.to_device(x[0].device())?);
                    region_mean(&x[0], &masks, &images, &divisors)
                })?;
            }
        }
    }
    Ok(())
}

#[test]
fn composed_region_means_on_devices() -> Result<()> {
    let masks = Tensor::new(&[[[1u8, 0], [1, 1]], [[0, 1], [0, 0]]], &Device::Cpu)?;
    let divisors = Tensor::new(&[3f64, 0.0], &Device::Cpu)?;
    for dtype in [DType::F32, DType::F64] {
        compare("composed region_mean", &[normal("map", &[3, 4, 2, 2], dtype)?], |x| {
            let (masks, divisors) = (masks.to_device(x[0].device())?, divisors.to_device(x[0].device())?);
            region_mean_composed(&x[0], &masks, &[0, 2], &divisors)
        })?;
    }
    Ok(())
}

#[test]
fn region_masks_on_devices() -> Result<()> {
    for dtype in TYPES {
        for dims in [[2, 3, 4, 5], [1, 1, 1, 1], [1, 21, 19, 17]] {
            let scores = [normal("scores", &dims, dtype)?];
            let what = format!("region_masks {dims:?} {dtype:?}");
            compare(&what, &scores, |x| Ok(region_masks(&x[0].detach())?.to_dtype(DType::F32)?))?;
            let constant = [(scores[0].zeros_like()? + 0.3)?];
            compare(&what, &constant, |x| Ok(region_masks(&x[0].detach())?.to_dtype(DType::F32)?))?;
        }
    }
    Ok(())
}
