//! [`Refine`]: what the colours of the image change about the labels.

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::{Corners, DenseCrfConfig, refine_label_pair, refine_label_pair_on_device, resize_bilinear};
use crate::view::{Normalization, Pair, View};

/// Refinement of pseudo labels.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refine {
    /// The labels as they are.
    None,
    /// A fully connected CRF on the image at the size of the labels. Runs on the host, but for the exact kernel where the
    /// tensors are on a CUDA device.
    DenseCrf(DenseCrfConfig),
}

impl Refine {
    /// Checks the constants.
    ///
    /// # Errors
    /// Naming the first field out of its range.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::None => Ok(()),
            Self::DenseCrf(config) => config.validate().map_err(|err| match err {
                Error::Config { field, reason } => Error::config(format!("dense_crf.{field}"), reason),
                err => err,
            }),
        }
    }

    /// Refines the labels of both views by the image of one of them.
    ///
    /// # Shapes
    /// Labels `(N, h, w)` of `u32`, one size for both views, to the same.
    ///
    /// # Errors
    /// When the shapes differ or a label is none of the `num_labels`.
    pub fn apply(&self, labels: &Pair<Tensor>, view: &View, num_labels: usize) -> Result<Pair<Tensor>> {
        match self {
            Self::None => Ok(labels.clone()),
            Self::DenseCrf(config) => {
                let (_, h, w) = labels.target.dims3()?;
                let image = image_at(view, (h, w))?;
                let normalization = view.normalization();
                match refine_label_pair_on_device(&image, normalization, labels, num_labels, config)? {
                    Some(refined) => Ok(refined),
                    None => refine_label_pair(&colours(&image, normalization)?, labels, num_labels, config),
                }
            }
        }
    }
}

/// The image as the CRF takes it: resized (bilinear, aligned corners), its colours restored, truncated to bytes.
///
/// # Shapes
/// `(N, h, w, 3)` of bytes for `size = (h, w)`.
///
/// # Errors
/// When a size is 0.
pub fn crf_image(view: &View, size: (usize, usize)) -> Result<Tensor> {
    colours(&image_at(view, size)?, view.normalization())
}

fn image_at(view: &View, size: (usize, usize)) -> Result<Tensor> {
    let image = view.image().detach();
    let (_, _, height, width) = image.dims4()?;
    if (height, width) == size { Ok(image) } else { resize_bilinear(&image, size, Corners::Aligned) }
}

fn colours(image: &Tensor, normalization: Normalization) -> Result<Tensor> {
    let channel = |values: [f64; 3]| -> Result<Tensor> {
        Ok(Tensor::new(&values, image.device())?.to_dtype(image.dtype())?.reshape((1, 3, 1, 1))?)
    };
    let colours = image.broadcast_mul(&channel(normalization.std)?)?.broadcast_add(&channel(normalization.mean)?)?;
    // Clamped, so that a value outside of the image's range cannot wrap round.
    let levels = (colours * 255.0)?.clamp(0.0, 255.0)?;
    Ok(levels.to_dtype(DType::U8)?.permute((0, 2, 3, 1))?.contiguous()?)
}
