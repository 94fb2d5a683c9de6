//! Means of a feature map over regions.

mod composed;
mod cpu;
mod device;

use candle_core::{DType, Tensor};

pub use self::composed::region_mean_composed;
use self::cpu::RegionMean;
use super::kernel::apply1;
use crate::error::{Error, Result, expect_shape};

/// `Σ_(pixels of the region) f / divisor`, for any number of regions of each image; 0 where the divisor is 0. The
/// gradient goes to the map.
///
/// The map is read once for all regions of an image, and its gradient is written once. Kept for the gradient: the masks
/// as they are given. [`region_mean_composed`] is the same out of candle's operations.
///
/// # Shapes
/// `map (N, D, h, w)`; `masks (R, h, w)` of `u8`, 1 inside; `images`, the image of each region, ascending; `divisors
/// (R)`, to `(R, D)`. Sums are taken in float32 for a map of half precision.
///
/// # Errors
/// When the shapes differ, the images are not ascending or one does not exist.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::ops::region_mean;
///
/// let map = Tensor::new(&[[[[1.0f64, 2.0, 6.0]]]], &Device::Cpu)?;
/// let masks = Tensor::new(&[[[0u8, 1, 1]], [[1, 0, 0]]], &Device::Cpu)?;
/// let means = region_mean(&map, &masks, &[0, 0], &Tensor::new(&[2.0f64, 1.0], &Device::Cpu)?)?;
/// assert_eq!(means.to_vec2::<f64>()?, [[4.0], [1.0]]);
/// assert!(region_mean(&map, &masks, &[0, 1], &Tensor::new(&[2.0f64, 1.0], &Device::Cpu)?).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn region_mean(map: &Tensor, masks: &Tensor, images: &[usize], divisors: &Tensor) -> Result<Tensor> {
    let starts = check(map, masks, images, divisors)?;
    if images.is_empty() {
        return Ok(Tensor::zeros((0, map.dim(1)?), map.dtype(), map.device())?);
    }
    let masks = masks.to_dtype(DType::U8)?.contiguous()?.detach();
    let firsts: Vec<u32> = starts.iter().map(|start| *start as u32).collect();
    let starts_there = Tensor::from_vec(firsts, starts.len(), map.device())?;
    let divisors = divisors.to_dtype(DType::F64)?.contiguous()?.detach();
    Ok(apply1(RegionMean { masks, divisors, starts, starts_there }, map)?)
}

// The first region of each image, and the number of all.
fn check(map: &Tensor, masks: &Tensor, images: &[usize], divisors: &Tensor) -> Result<Vec<usize>> {
    expect_shape("feature map", map, ["N".into(), "D".into(), "h".into(), "w".into()])?;
    let (n, _, h, w) = map.dims4()?;
    expect_shape("masks of the regions", masks, [images.len().into(), h.into(), w.into()])?;
    expect_shape("divisors of the regions", divisors, [images.len().into()])?;
    if !images.is_sorted() {
        return Err(Error::value("images of the regions", "must be in ascending order"));
    }
    if let Some(&last) = images.last().filter(|last| **last >= n) {
        return Err(Error::value("images of the regions", format!("must be below {n}, the images, is {last}")));
    }
    Ok((0..=n).map(|image| images.partition_point(|at| *at < image)).collect())
}
