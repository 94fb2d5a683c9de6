//! From the maps of several runs of the network to one score per pixel and class: pure arithmetic, no network.

use candle_core::{D, Tensor};
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::{Error, error::expect_shape};

use crate::error::Result;
use crate::infer::config::MapSource;

/// Keeps the divisor from 0, and suppresses what is within it of the minimum. The released code's constant.
const EPSILON: f64 = 1e-5;

/// What the network made of one version of the image.
#[derive(Clone, Debug)]
pub struct NetworkMap {
    /// `(1, num_classes, h, w)`, background last: refined maps, or raw ones for [`MapSource::Softmax`].
    pub map: Tensor,
    /// Whether the image was mirrored.
    pub flipped: bool,
}

/// Sums the maps of `classes` over all versions of the image, at the image's size `(height, width)`.
///
/// Mirrored maps are mirrored back. Maps of one size are summed before they are resized, which is the same, resizing
/// being linear. PyTorch: `F.interpolate(map, size, mode="bilinear", align_corners=False)`.
///
/// Returns `(classes, height, width)`.
///
/// # Errors
/// When there is no map or class, a map has another shape, or a class is not below its number of foreground classes.
pub fn sum_maps(
    maps: &[NetworkMap],
    classes: &[usize],
    (height, width): (usize, usize),
    source: MapSource,
) -> Result<Tensor> {
    let first = maps.first().ok_or_else(|| Error::value("network maps", "there are none"))?;
    let channels = first.map.dims().get(1).copied().unwrap_or(0);
    if classes.is_empty() || classes.iter().any(|class| class + 1 >= channels) {
        let limit = channels.saturating_sub(1);
        return Err(Error::value("classes", format!("must be below {limit} and not empty, are {classes:?}")).into());
    }
    let index: Vec<u32> = classes.iter().filter_map(|class| u32::try_from(*class).ok()).collect();
    let index = Tensor::new(index, first.map.device())?;
    // One sum per size, in the order the sizes first appear.
    let mut sums: Vec<Tensor> = Vec::new();
    for NetworkMap { map, flipped } in maps {
        expect_shape("network map", map, [1.into(), channels.into(), "h".into(), "w".into()])?;
        // The soft-max sees all classes; only then may the absent ones go.
        let scores = match source {
            MapSource::Refined => map.clone(),
            MapSource::Softmax => candle_nn::ops::softmax(map, 1)?,
        };
        let scores = scores.index_select(&index, 1)?;
        let scores = if *flipped { scores.flip(&[3])? } else { scores };
        match sums.iter_mut().find(|sum| sum.dims() == scores.dims()) {
            Some(sum) => *sum = (&*sum + scores)?,
            None => sums.push(scores),
        }
    }
    let mut total: Option<Tensor> = None;
    for sum in sums {
        let resized = resize_bilinear(&sum.contiguous()?, (height, width), Corners::HalfPixel)?;
        total = Some(match total {
            None => resized,
            Some(total) => (total + resized)?,
        });
    }
    let total = total.ok_or_else(|| Error::value("network maps", "there are none"))?;
    Ok(total.squeeze(0)?)
}

/// Brings summed maps `(classes, height, width)` to scores that a background score can be compared with.
///
/// With `r = max(sum, 0)`, `M` and `m` its largest and smallest value over the image and `e = 1e-5`:
///
/// - [`MapSource::Refined`]: `r' = 0 where r < m + e, else r`; score `(r' - m - e) / (M - m + e)`. Suppressed pixels come
///   out slightly negative, a map of zeros as -1: the released code subtracts after it suppresses.
/// - [`MapSource::Softmax`]: `sum / (max sum + e)`.
///
/// # Errors
/// When the shape is another.
pub fn normalize_maps(sum: &Tensor, source: MapSource) -> Result<Tensor> {
    expect_shape("summed maps", sum, ["classes".into(), "height".into(), "width".into()])?;
    let extreme_shape = (sum.dim(0)?, 1, 1);
    let pixels = sum.flatten_from(1)?;
    match source {
        MapSource::Refined => {
            let clipped = sum.maximum(&sum.zeros_like()?)?;
            let pixels = clipped.flatten_from(1)?;
            let largest = pixels.max(D::Minus1)?.reshape(extreme_shape)?;
            let smallest = pixels.min(D::Minus1)?.reshape(extreme_shape)?;
            let floor = (&smallest + EPSILON)?;
            let suppressed = clipped.broadcast_lt(&floor)?;
            let kept = suppressed.where_cond(&clipped.zeros_like()?, &clipped)?;
            let range = ((&largest - &smallest)? + EPSILON)?;
            Ok(kept.broadcast_sub(&smallest)?.affine(1.0, -EPSILON)?.broadcast_div(&range)?)
        }
        MapSource::Softmax => {
            let largest = pixels.max(D::Minus1)?.reshape(extreme_shape)?;
            Ok(sum.broadcast_div(&(largest + EPSILON)?)?)
        }
    }
}
