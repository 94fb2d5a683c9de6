//! Min-pooling loss of maps, from the maps as the network makes them.

mod cpu;
mod device;

use candle_core::{DType, Tensor};

use super::kernel::{apply1, detached1};
use super::precomputed::{Precomputed, computable};
use crate::error::{Error, Result, expect_shape};
use crate::label::ImageLabels;

/// The maps of foreground classes should reach zero somewhere. Background last.
///
/// ```text
/// v = max_foreground (enlarge(map) L)                            per pixel
/// loss = 1/(k N) Σ_images Σ [the k smallest v]+,   k = ⌊height width / divisor⌋
/// ```
///
/// `L` is the label vector, so absent classes are 0. Enlarged bilinearly with aligned corners to `size`, at which the maps
/// are never there as a whole; kept are one value a pixel of an image at a time and, until backward, the gradient by the
/// maps if they want one. Of equal values those with the lowest index count. The numbers are those of the composition of
/// [`super::resize_bilinear`], [`super::max_keepdim`] and [`super::top_k`], up to the rounding of sums.
///
/// `None` when `k` is 0.
///
/// # Shapes
/// `map (N, num_classes, h, w)`, raw values, to a scalar.
///
/// # Errors
/// When the shape does not fit the labels, there is no image or a size is 0.
///
/// # Reference
/// SEAM (CVPR 2020), `train_SEAM.py`, `adaptive_min_pooling_loss`.
pub fn min_pool(map: &Tensor, size: (usize, usize), labels: &ImageLabels, divisor: usize) -> Result<Option<Tensor>> {
    let (n, layout) = (labels.len(), labels.layout());
    expect_shape("refined cam", map, [n.into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    let (_, _, h, w) = map.dims4()?;
    if n == 0 || [h, w, size.0, size.1].contains(&0) {
        let reason = format!("expected images, and sizes above 0, got {n} of {h}x{w} to {}x{}", size.0, size.1);
        return Err(Error::value("maps of the min-pooling loss", reason));
    }
    let smallest = size.0 * size.1 / divisor.max(1);
    if smallest == 0 {
        return Ok(None);
    }
    let dtype = map.dtype();
    let map = computable(map)?;
    let kernel = MinPool {
        size,
        present: (0..n).map(|image| labels.of_image(image).to_vec()).collect(),
        mask: labels.multi_hot().to_dtype(DType::F32)?.contiguous()?,
        smallest,
        with_gradient: map.track_op(),
    };
    let packed = detached1(kernel, &map)?;
    let value = packed.narrow(0, 0, 1)?.squeeze(0)?;
    if !map.track_op() {
        return Ok(Some(value.to_dtype(dtype)?));
    }
    let gradients = [packed.narrow(0, MinPool::TERMS, map.elem_count())?.reshape(map.shape())?];
    Ok(Some(apply1(Precomputed { value, gradients }, &map)?.to_dtype(dtype)?))
}

/// The loss and, behind it and if `with_gradient`, its gradient by the maps, as one row.
struct MinPool {
    size: (usize, usize),
    /// Foreground classes of every image, ascending.
    present: Vec<Vec<usize>>,
    /// `(N, num_foreground)` of float32, ones where the image has the class: the same for devices.
    mask: Tensor,
    smallest: usize,
    with_gradient: bool,
}

impl MinPool {
    const TERMS: usize = 1;
}
