//! Normalisation of activation maps per image and class.

use candle_core::Tensor;

use crate::error::{Result, expect_shape};
use crate::ops::{max_keepdim, min_keepdim, relu};

// Added to denominators and used as threshold by all four papers' code.
const EPSILON: f64 = 1e-5;

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
    let Extent { rectified, most, least } = extent(cam)?;
    let above = relu(&(rectified.broadcast_sub(&least)? - EPSILON)?)?;
    Ok(above.broadcast_div(&((most - least)? + EPSILON)?)?)
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
    let Extent { rectified, most, least } = extent(&cam.detach())?;
    let kept = rectified.broadcast_ge(&(&least + EPSILON)?)?;
    let kept = kept.where_cond(&rectified, &rectified.zeros_like()?)?;
    let above = kept.broadcast_sub(&(&least + EPSILON)?)?;
    Ok(above.broadcast_div(&((most - least)? + EPSILON)?)?)
}

struct Extent {
    rectified: Tensor,
    // (N, C, 1, 1)
    most: Tensor,
    least: Tensor,
}

fn extent(cam: &Tensor) -> Result<Extent> {
    expect_shape("activation map", cam, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let rectified = relu(cam)?;
    let flat = rectified.flatten_from(2)?; // (N, C, h*w)
    let most = max_keepdim(&flat, 2)?.unsqueeze(3)?;
    let least = min_keepdim(&flat, 2)?.unsqueeze(3)?;
    Ok(Extent { rectified, most, least })
}
