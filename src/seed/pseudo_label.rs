//! The best class of every pixel among those the image has.

use candle_core::Tensor;

use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::ops;

/// Arg-max over all classes of `scores * labels`; the lowest class of several. No gradient.
///
/// Classes the image has not enter with 0, not with minus infinity: they lose to any positive background score.
///
/// # Shapes
/// `scores (N, num_classes, h, w)`, background last, to `(N, h, w)` of `u32`.
///
/// # Errors
/// When the shapes differ.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_wsss::{ClassLayout, ImageLabels, seed};
///
/// let labels = ImageLabels::new(vec![vec![1]], ClassLayout::new(2)?, DType::F64, &Device::Cpu)?;
/// // Class 0 scores best, but the image has only class 1; background has 0.1.
/// let scores = Tensor::new(&[[[[0.9f64, 0.9]], [[0.4, 0.05]], [[0.1, 0.1]]]], &Device::Cpu)?;
/// assert_eq!(seed::pseudo_label(&scores, &labels)?.to_vec3::<u32>()?, [[[1, 2]]]);
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn pseudo_label(scores: &Tensor, labels: &ImageLabels) -> Result<Tensor> {
    ops::best_class(scores, labels)
}

/// Soft-max over all classes of `scores * labels`. No gradient.
///
/// # Shapes
/// `(N, num_classes, h, w)`, background last, to the same.
///
/// # Errors
/// When the shapes differ.
pub fn label_softmax(scores: &Tensor, labels: &ImageLabels) -> Result<Tensor> {
    Ok(candle_nn::ops::softmax(&masked(scores, labels)?, 1)?)
}

fn masked(scores: &Tensor, labels: &ImageLabels) -> Result<Tensor> {
    let classes = labels.layout().num_classes();
    expect_shape("seed scores", scores, [labels.len().into(), classes.into(), "h".into(), "w".into()])?;
    let present = labels.with_background()?.to_dtype(scores.dtype())?;
    Ok(scores.detach().broadcast_mul(&present)?)
}
