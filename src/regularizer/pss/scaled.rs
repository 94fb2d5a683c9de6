//! Views and maps at another size.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::{Corners, resize_bilinear};
use crate::view::View;

/// The view with its sides times `scale`, rounded, at least one pixel: bilinear with aligned corners, and its saliency
/// with it. At scale 1 it is the view itself.
pub(super) fn scaled_view(view: &View, scale: f64) -> Result<View> {
    let (_, _, height, width) = view.image().dims4()?;
    let len = |side: usize| ((side as f64 * scale).round_ties_even() as usize).max(1);
    let size = (len(height), len(width));
    let scaled = View::new(resized(view.image(), size)?)?.with_normalization(view.normalization())?;
    match view.saliency() {
        Some(saliency) => scaled.with_saliency(resized(saliency, size)?),
        None => Ok(scaled),
    }
}

/// Bilinear with aligned corners; a map of that size comes back as it is.
pub(super) fn resized(map: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = map.dims4()?;
    if (h, w) == size { Ok(map.clone()) } else { resize_bilinear(map, size, Corners::Aligned) }
}
