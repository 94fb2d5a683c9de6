//! Scale and shift per channel: batch normalisation with fixed statistics, in one pass.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::Affine;
use super::kernel::apply3;
use crate::error::{Result, expect_shape};

/// `x scale + shift`, one scale and one shift per channel. PyTorch: `x * scale[:, None, None] + shift[:, None, None]`.
///
/// A scale or shift with `track_op() == false` (a frozen batch norm) gets no gradient, and none is computed.
///
/// # Shapes
/// `(N, C, h, w)`, `(C)`, `(C)` to `(N, C, h, w)`.
///
/// # Errors
/// When the shapes do not fit, or the tensors are not all float32 or all float64.
pub fn affine(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    apply(x, scale, shift, false)
}

/// `max(x scale + shift, 0)`, gradient 0 where the result is 0. PyTorch: `F.relu` of [`affine`]'s.
///
/// # Shapes
/// `(N, C, h, w)`, `(C)`, `(C)` to `(N, C, h, w)`.
///
/// # Errors
/// As for [`affine`].
pub fn affine_relu(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    apply(x, scale, shift, true)
}

fn apply(x: &Tensor, scale: &Tensor, shift: &Tensor, relu: bool) -> Result<Tensor> {
    expect_shape("affine input", x, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let channels = x.dim(1)?;
    expect_shape("affine scale", scale, [channels.into()])?;
    expect_shape("affine shift", shift, [channels.into()])?;
    Ok(apply3(Affine { relu }, x, scale, shift)?)
}
