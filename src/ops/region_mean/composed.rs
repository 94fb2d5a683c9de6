//! The same out of candle's operations.

use candle_core::{DType, Tensor};

use super::check;
use crate::error::Result;

/// [`region_mean`](super::region_mean) as a product with the masks for each image.
///
/// # Errors
/// As there.
pub fn region_mean_composed(map: &Tensor, masks: &Tensor, images: &[usize], divisors: &Tensor) -> Result<Tensor> {
    let starts = check(map, masks, images, divisors)?;
    let (n, dim, h, w) = map.dims4()?;
    let mut means = Vec::with_capacity(n);
    for image in 0..n {
        let (start, len) = (starts[image], starts[image + 1] - starts[image]);
        if len > 0 {
            let inside = masks.narrow(0, start, len)?.reshape((len, h * w))?.to_dtype(map.dtype())?;
            let pixels = map.get(image)?.reshape((dim, h * w))?.t()?.contiguous()?;
            means.push(inside.matmul(&pixels)?);
        }
    }
    if means.is_empty() {
        return Ok(Tensor::zeros((0, dim), map.dtype(), map.device())?);
    }
    let divisors = divisors.to_dtype(DType::F64)?.detach();
    let is_none = divisors.eq(0.0)?.to_dtype(DType::F64)?;
    let scales = ((1.0 - &is_none)? / (divisors + is_none)?)?;
    let scales = scales.to_dtype(map.dtype())?.unsqueeze(1)?;
    Ok(Tensor::cat(&means, 0)?.broadcast_mul(&scales)?)
}
