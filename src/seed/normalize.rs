//! Normalisation of activation maps per image and class.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops;

/// Added to denominators and used as threshold by all four papers' code.
pub const NORM_EPSILON: f64 = 1e-5;

/// `relu(r - m - ε) / (M - m + ε)` with `r = relu(cam)` and `M`, `m` its largest and smallest value in the image.
///
/// The gradient flows through `M` and `m` too. A constant or negative map gives zeros. The range is `[0, 1)`.
///
/// # Shapes
/// `(N, C, h, w)` to the same.
///
/// # Errors
/// When the shape is another.
///
/// # Reference
/// `max_norm` of SEAM (CVPR 2020).
pub fn max_norm(cam: &Tensor) -> Result<Tensor> {
    ops::max_norm(cam, NORM_EPSILON)
}

/// `(r' - m - ε) / (M - m + ε)`, where `r' = r = relu(cam)`, but 0 where `r < m + ε`. No gradient.
///
/// Not clipped: suppressed pixels come out slightly negative, an all-zero map is -1 everywhere and a constant positive
/// one hugely negative. The range is below 1.
///
/// # Shapes
/// `(N, C, h, w)` to the same.
///
/// # Errors
/// When the shape is another.
///
/// # Reference
/// The seed of HSC (IJCAI 2023) and of PPC (CVPR 2022); SEAM's inference.
pub fn min_max_norm(cam: &Tensor) -> Result<Tensor> {
    ops::min_max_norm(cam, NORM_EPSILON)
}

/// Scores of every class at the pixels of a grid: [`min_max_norm`] of the resized maps, with a constant background.
/// No gradient.
///
/// # Shapes
/// `cam (N, num_classes, h, w)`, background last, to `(N, num_classes, height, width)` for `grid = (height, width)`;
/// resized bilinearly with aligned corners.
///
/// # Errors
/// When the shape is another or a size is 0.
pub fn scores(cam: &Tensor, grid: (usize, usize), background: f64) -> Result<Tensor> {
    ops::seed_scores(cam, grid, background, NORM_EPSILON)
}
