//! The best-scored pixels of each class over a whole batch, and weighted sums of their features.

mod cpu;
mod device;

use candle_core::{DType, Tensor};

use self::cpu::{PixelSums, PixelValues, TopPixelIndices};
use super::kernel::{apply1, detached1, indices};
use crate::error::{Error, Result, expect_shape};

/// The `k` largest scores of each channel over all pixels of all images, largest first, among equal ones the lowest pixel
/// first; NaN counts as larger than everything. No gradient.
///
/// The map is read where it lies; nothing of its size is made but, on the CPU, the keys of one channel per thread.
///
/// # Shapes
/// `scores (N, C, h, w)` and the channels looked at, all of them if not given, to values and indices (`u32`), both
/// `(channels, k)`. Pixel `p` of image `n` has the index `n * h * w + p`.
///
/// # Errors
/// When the shape is another, a channel does not exist, or there are fewer than `k` pixels.
pub fn top_pixels(scores: &Tensor, channels: Option<&[usize]>, k: usize) -> Result<(Tensor, Tensor)> {
    expect_shape("score map", scores, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let (n, all, h, w) = scores.dims4()?;
    let pixels = n * h * w;
    if k > pixels || u32::try_from(pixels).is_err() {
        return Err(Error::value("top pixels", format!("expected at most {pixels}, the pixels, got {k}")));
    }
    let channels = channels.map_or_else(|| (0..all).collect(), <[usize]>::to_vec);
    if let Some(channel) = channels.iter().find(|channel| **channel >= all) {
        let reason = format!("must be below {all}, the channels of the scores, is {channel}");
        return Err(Error::value("channel of the top pixels", reason));
    }
    let scores = scores.detach();
    let (count, device) = (channels.len(), scores.device());
    if count * k == 0 {
        let indices = Tensor::zeros((count, k), DType::U32, device)?;
        return Ok((Tensor::zeros((count, k), scores.dtype(), device)?, indices));
    }
    let channels = Tensor::from_vec(channels.iter().map(|channel| *channel as u32).collect(), count, device)?;
    let indices = indices(TopPixelIndices { channels: channels.clone(), k }, &scores)?;
    let values = detached1(PixelValues { channels, indices: indices.clone() }, &scores)?;
    Ok((values, indices))
}

/// `Σ_j weight_cj f(index_cj)` for each class `c`: weighted sums of some pixels of a batch. The gradient goes to the
/// features, written once.
///
/// Kept for the gradient: the indices and weights as they are given.
///
/// # Shapes
/// `features (N, D, h, w)`; `indices (C, k)` of `u32` as [`top_pixels`] has them: below `N * h * w`, and no two
/// of a class the same; `weights (C, k)`; to
/// `(C, D)`.
///
/// # Errors
/// When the shapes differ; on the CPU when an index is too large.
pub fn pixel_sums(features: &Tensor, indices: &Tensor, weights: &Tensor) -> Result<Tensor> {
    expect_shape("feature map", features, ["N".into(), "D".into(), "h".into(), "w".into()])?;
    expect_shape("indices of pixels", indices, ["C".into(), "k".into()])?;
    let (classes, k) = indices.dims2()?;
    expect_shape("weights of pixels", weights, [classes.into(), k.into()])?;
    if classes * k * features.elem_count() == 0 {
        return Ok(Tensor::zeros((classes, features.dim(1)?), features.dtype(), features.device())?);
    }
    let indices = indices.detach().to_dtype(DType::U32)?.contiguous()?;
    let weights = weights.detach().to_dtype(sums_of(features.dtype()))?.contiguous()?;
    Ok(apply1(PixelSums { indices, weights }, features)?)
}

/// The type sums are kept in.
fn sums_of(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}
