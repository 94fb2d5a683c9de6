//! `ops::affinity_mean`.

use candle_core::DType;
use candle_wsss::Result;
use candle_wsss::ops::{affinity_mean, affinity_mean_composed, unit_added};

use super::support::{TYPES, compare, normal};

#[test]
fn averages_over_like_pixels_on_devices() -> Result<()> {
    for dtype in TYPES {
        // Images, maps, channels, pixels: one tile, several of them, more maps and channels than a block has.
        for [n, classes, dim, pixels] in [[2, 3, 5, 7], [1, 1, 17, 130], [1, 34, 3, 70]] {
            let inputs = [normal("maps", &[n, classes, pixels], dtype)?, normal("unit", &[n, dim, pixels], dtype)?];
            // Normalised before the comparison, which is of one operation.
            let inputs = [inputs[0].clone(), unit_added(&inputs[1], 1, 1e-5)?];
            let what = format!("affinity_mean of {n} x {classes}, {dim} x {pixels}, {dtype:?}");
            compare(&what, &inputs, |x| affinity_mean(&x[0], &x[1], 1e-5))?;
        }
    }
    Ok(())
}

#[test]
fn many_maps_and_channels_on_devices() -> Result<()> {
    let inputs = [normal("maps", &[1, 101, 5], DType::F32)?, normal("unit", &[1, 200, 5], DType::F32)?];
    let inputs = [inputs[0].clone(), unit_added(&inputs[1], 1, 1e-5)?];
    compare("affinity_mean of 101 maps, 200 channels", &inputs, |x| affinity_mean(&x[0], &x[1], 1e-5))?;
    compare("the same, composed", &inputs, |x| affinity_mean_composed(&x[0], &x[1], 1e-5))
}

#[test]
fn no_maps_and_no_features_on_devices() -> Result<()> {
    let inputs = [normal("maps", &[2, 2, 3], DType::F32)?, normal("unit", &[2, 4, 3], DType::F32)?.zeros_like()?];
    compare("affinity_mean of zeros", &inputs, |x| affinity_mean(&x[0], &x[1], 1e-5))?;
    let inputs = [normal("maps", &[2, 0, 3], DType::F32)?, normal("unit", &[2, 4, 3], DType::F32)?];
    compare("affinity_mean of no map", &inputs[..1], |x| affinity_mean(&x[0], &inputs[1], 1e-5))
}
