//! Means over enlarged maps.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::ResizedMean;
use super::kernel::apply1;
use super::precomputed::computable;
use crate::error::{Error, Result, expect_shape};

/// The mean over all pixels of [`super::resize_bilinear`] with aligned corners, without the enlarged map: a mean of the
/// pixels that weighs each by its share in the enlarged ones.
///
/// # Shapes
/// `(N, C, h, w)` to `(N, C)`, for a map enlarged to `size = (height, width)`.
///
/// # Errors
/// When `x` is of another shape or no floating point tensor, or when a size is 0.
pub fn resized_mean(x: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    expect_shape("resized_mean", x, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let (_, _, h, w) = x.dims4()?;
    if [h, w, size.0, size.1].contains(&0) {
        let reason = format!("expected sizes above 0, got {h}x{w} to {}x{}", size.0, size.1);
        return Err(Error::value("resized_mean", reason));
    }
    Ok(apply1(ResizedMean { size }, &computable(x)?)?.to_dtype(x.dtype())?)
}
