//! The pixel correlation module: class activation maps spread to pixels that look alike.

use candle_core::Tensor;
use candle_wsss::error::expect_shape;
use candle_wsss::ops::{self, Corners};
use candle_wsss::{ClassLayout, Result};

/// What the module spreads: the maps divided by their maxima, only the strongest foreground class kept at each pixel.
/// No gradient.
///
/// ```text
/// y_c  = [[cam_c]+ - ε]+ / (max_pixels [cam_c]+ + ε)
/// y_bg = 1 - max_foreground y
/// y_c  = 0 where y_c < max_foreground y          (foreground only, ties stay)
/// ```
///
/// # Shapes
/// `(N, num_classes, h, w)` in and out, background last.
///
/// # Errors
/// When the shape is another.
///
/// # Reference
/// SEAM, `network/resnet38_SEAM.py`, `Net.forward`.
pub fn normalized_seeds(cam: &Tensor, layout: ClassLayout, epsilon: f64) -> Result<Tensor> {
    expect_shape("cam", cam, ["N".into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    let rectified = ops::relu(&cam.detach())?;
    let peak = rectified.flatten(2, 3)?.max_keepdim(2)?.unsqueeze(3)?;
    let scaled = ops::relu(&(rectified - epsilon)?)?.broadcast_div(&(peak + epsilon)?)?;
    let foreground = scaled.narrow(1, 0, layout.num_foreground())?;
    let strongest = foreground.max_keepdim(1)?;
    let background = (1.0 - &strongest)?;
    let is_strongest = foreground.broadcast_ge(&strongest)?.to_dtype(foreground.dtype())?;
    Ok(Tensor::cat(&[(foreground * is_strongest)?, background], 1)?)
}

/// How alike two pixels are: the positive part of the cosine of their features.
///
/// ```text
/// z = f / (||f|| + ε),   A_ij = [z_i · z_j]+
/// ```
///
/// # Shapes
/// `(N, d, h, w)` to `(N, h*w, h*w)`.
///
/// # Errors
/// When the features are not maps.
pub fn affinity(features: &Tensor, epsilon: f64) -> Result<Tensor> {
    expect_shape("features", features, ["N".into(), "d".into(), "h".into(), "w".into()])?;
    let unit = ops::unit_added(&features.flatten(2, 3)?, 1, epsilon)?; // (N, d, h*w)
    // Contiguous, because candle's batched product of a transposed matrix is not to be trusted.
    let transposed = unit.transpose(1, 2)?.contiguous()?;
    ops::relu(&transposed.matmul(&unit)?)
}

/// Spreads maps over pixels with like features.
///
/// ```text
/// out_j = Σ_i cam_i A_ij / (Σ_i A_ij + ε)
/// ```
///
/// The column sums ride along as one more map of ones, so the affinity matrix is read once and never normalised.
///
/// # Shapes
/// `cam (N, c, *, *)`, resized to the grid of the features if it is another (bilinear, aligned corners);
/// `features (N, d, h, w)`; result `(N, c, h, w)`.
///
/// # Errors
/// When the shapes do not fit.
///
/// # Reference
/// SEAM, `network/resnet38_SEAM.py`, `Net.PCM`, after its convolution `f9`.
pub fn refine(cam: &Tensor, features: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (n, _, h, w) = features.dims4()?;
    expect_shape("cam", cam, [n.into(), "c".into(), "h".into(), "w".into()])?;
    let classes = cam.dim(1)?;
    let cam = ops::resize_bilinear(cam, (h, w), Corners::Aligned)?.flatten(2, 3)?; // (N, c, h*w)
    let ones = Tensor::ones((n, 1, h * w), cam.dtype(), cam.device())?;
    let spread = Tensor::cat(&[&cam, &ones], 1)?.matmul(&affinity(features, epsilon)?)?; // (N, c + 1, h*w)
    let sums = (spread.narrow(1, classes, 1)? + epsilon)?;
    Ok(spread.narrow(1, 0, classes)?.broadcast_div(&sums)?.reshape((n, classes, h, w))?)
}
