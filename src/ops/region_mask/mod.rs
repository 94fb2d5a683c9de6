//! Where a class is believed in more than on average.

mod cpu;
mod device;

use candle_core::{DType, Tensor};

use self::cpu::AboveMean;
use super::kernel::indices;
use crate::error::{Result, expect_shape};

/// Pixels at which the soft-max over the channels is strictly above its mean over the image; none of them for a channel
/// whose soft-max is the same everywhere. No gradient. PyTorch: `s = x.softmax(1); s > s.mean((2, 3), keepdim=True)`.
///
/// # Shapes
/// `scores (N, C, h, w)` to the same of `u8`, 1 inside.
///
/// # Errors
/// When the shape is another.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::ops::region_masks;
///
/// let scores = Tensor::new(&[[[[1.0f32, 3.0, 0.0]], [[1.0, 1.0, 1.0]]]], &Device::Cpu)?;
/// assert_eq!(region_masks(&scores)?.flatten_all()?.to_vec1::<u8>()?, [0, 1, 0, 1, 0, 1]);
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn region_masks(scores: &Tensor) -> Result<Tensor> {
    expect_shape("scores of regions", scores, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    Ok(indices(AboveMean, &scores.detach())?.to_dtype(DType::U8)?)
}
