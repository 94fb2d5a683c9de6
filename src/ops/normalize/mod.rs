//! Maps by their largest and smallest value.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::{MaxNorm, MinMaxNorm};
pub(super) use self::cpu::{above_least, kept_above_least, rectified};
use super::kernel::{apply1, detached1};
use crate::error::{Error, Result, expect_shape};

/// `relu(r - m - ε) / (M - m + ε)` with `r = relu(x)` and `M`, `m` its largest and smallest value over each plane.
///
/// The gradient flows through `M` and `m` too, to the first pixel that has them. One pass forward after one that looks
/// for the extrema; the backward pass keeps nothing but `x`.
///
/// # Shapes
/// `(N, C, h, w)` to the same.
///
/// # Errors
/// When the shape is another, a plane is empty, `epsilon` is not positive or `x` is no floating point tensor.
pub fn max_norm(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    check("max_norm", x, epsilon)?;
    Ok(apply1(MaxNorm { epsilon }, x)?)
}

/// `(r' - m - ε) / (M - m + ε)`, where `r' = r = relu(x)`, but 0 where `r < m + ε`. No gradient.
///
/// # Shapes
/// `(N, C, h, w)` to the same.
///
/// # Errors
/// As [`max_norm`].
pub fn min_max_norm(x: &Tensor, epsilon: f64) -> Result<Tensor> {
    check("min_max_norm", x, epsilon)?;
    Ok(detached1(MinMaxNorm { epsilon }, x)?)
}

fn check(what: &str, x: &Tensor, epsilon: f64) -> Result<()> {
    expect_shape(what, x, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let (n, c, h, w) = x.dims4()?;
    if n * c > 0 && h * w == 0 {
        return Err(Error::value(what, format!("expected planes with pixels, got {h}x{w}")));
    }
    if epsilon > 0.0 && epsilon.is_finite() {
        return Ok(());
    }
    Err(Error::value(what, format!("expected a positive epsilon, got {epsilon}")))
}
