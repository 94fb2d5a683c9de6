//! Elementwise functions with PyTorch's subgradients.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::Pointwise;
use super::kernel::apply1;
use crate::error::{Error, Result};

/// `max(x, 0)`, gradient 0 at 0. PyTorch: `F.relu`.
///
/// candle's own has gradient 1 at 0, which matters where maps hold exact zeros.
///
/// # Errors
/// When `x` is not of floating point numbers.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    Ok(apply1(Pointwise::Relu, x)?)
}

/// `|x|`, gradient 0 at 0 (candle's own: 1). PyTorch: `torch.abs`.
///
/// # Errors
/// When `x` is not of floating point numbers.
pub fn abs(x: &Tensor) -> Result<Tensor> {
    Ok(apply1(Pointwise::Abs, x)?)
}

/// `x` limited to `[low, high]`, gradient 1 inside the closed interval and 0 outside (candle's own: 0.5 at the bounds).
/// PyTorch: `torch.clamp`.
///
/// # Errors
/// When `low > high` or one is NaN, or when `x` is not of floating point numbers.
pub fn clamp(x: &Tensor, low: f64, high: f64) -> Result<Tensor> {
    // Written so that NaN fails.
    if low <= high {
        return Ok(apply1(Pointwise::Clamp { low, high }, x)?);
    }
    Err(Error::value("clamp", format!("expected low <= high, got [{low}, {high}]")))
}

/// `ln(1 + e^x)`, finite for every `x`; the gradient is `σ(x)` everywhere. PyTorch: `F.softplus`.
pub(super) fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok(apply1(Pointwise::Softplus, x)?)
}
