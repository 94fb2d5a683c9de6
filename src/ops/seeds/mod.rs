//! Scores and labels of seeds, straight from class activation maps.

mod cpu;
mod device;

use candle_core::{DType, Tensor};

use super::kernel::{detached1, indices};
use crate::error::{Error, Result, expect_shape};
use crate::label::ImageLabels;

/// Scores of every class at the pixels of a grid. No gradient. Background last.
///
/// ```text
/// r = relu(resize(cam)),  M, m = max r, min r over the plane
/// score = (r' - m - ε) / (M - m + ε),   r' = r, but 0 where r < m + ε
/// ```
///
/// The background's scores are the constant instead. Resized bilinearly with aligned corners. The numbers are those of the
/// composition of [`super::resize_bilinear`] and [`super::min_max_norm`], a plane at a time.
///
/// # Shapes
/// `cam (N, num_classes, h, w)` to `(N, num_classes, height, width)` for `size = (height, width)`.
///
/// # Errors
/// When the shape is another or has no foreground, a size is 0 or `epsilon` is not positive.
pub fn seed_scores(cam: &Tensor, size: (usize, usize), background: f64, epsilon: f64) -> Result<Tensor> {
    expect_shape("seed map", cam, ["N".into(), "num_classes".into(), "h".into(), "w".into()])?;
    let (_, classes, h, w) = cam.dims4()?;
    if classes < 2 || [h, w, size.0, size.1].contains(&0) {
        let got = format!("{classes} channels of {h}x{w} to {}x{}", size.0, size.1);
        let reason = format!("expected foreground and background channels and sizes above 0, got {got}");
        return Err(Error::value("seed map", reason));
    }
    if !(epsilon > 0.0 && epsilon.is_finite()) {
        return Err(Error::value("epsilon", format!("must be positive, is {epsilon}")));
    }
    Ok(detached1(SeedScores { size, background, epsilon }, &cam.detach())?)
}

/// The class with the largest of `scores * labels` at every pixel, the lowest of several; the background is always
/// present. No gradient.
///
/// # Shapes
/// `scores (N, num_classes, h, w)`, background last, to `(N, h, w)` of `u32`.
///
/// # Errors
/// When the shape does not fit the labels.
pub fn best_class(scores: &Tensor, labels: &ImageLabels) -> Result<Tensor> {
    let classes = labels.layout().num_classes();
    expect_shape("seed scores", scores, [labels.len().into(), classes.into(), "h".into(), "w".into()])?;
    let mask = labels.multi_hot().to_dtype(DType::F32)?.contiguous()?;
    let present = (0..labels.len()).map(|image| labels.of_image(image).to_vec()).collect();
    Ok(indices(BestClass { present, mask }, &scores.detach())?)
}

struct SeedScores {
    size: (usize, usize),
    background: f64,
    epsilon: f64,
}

struct BestClass {
    /// Foreground classes of every image, ascending.
    present: Vec<Vec<usize>>,
    /// `(N, num_foreground)` of float32, ones where the image has the class: the same for devices.
    mask: Tensor,
}
