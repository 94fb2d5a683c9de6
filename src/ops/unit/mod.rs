//! Vectors of length one.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::{Denominator, Unit};
use super::kernel::apply1;
use crate::error::{Error, Result};

/// `x / max(||x||2, eps)` along `dim`. PyTorch: `F.normalize(x, dim=dim, eps=eps)`.
///
/// Below `eps` the denominator is a constant, so the gradient is finite for the zero vector too.
///
/// # Shapes
/// Any, to the same.
///
/// # Errors
/// When `eps` is not above 0, when `x` has no axis `dim`, or is not of floating point numbers.
pub fn unit(x: &Tensor, dim: usize, eps: f64) -> Result<Tensor> {
    normalized(x, dim, eps, Denominator::AtLeast)
}

/// `x / (||x||2 + eps)` along `dim`. PyTorch: `x / (torch.norm(x, dim=dim, keepdim=True) + eps)`.
///
/// The norm has gradient 0 at the zero vector, so the gradient of the quotient there is `1 / eps`.
///
/// # Shapes
/// Any, to the same.
///
/// # Errors
/// When `eps` is not above 0, when `x` has no axis `dim`, or is not of floating point numbers.
pub fn unit_added(x: &Tensor, dim: usize, eps: f64) -> Result<Tensor> {
    normalized(x, dim, eps, Denominator::Added)
}

fn normalized(x: &Tensor, dim: usize, eps: f64, denominator: Denominator) -> Result<Tensor> {
    x.dim(dim)?;
    if eps > 0.0 && eps.is_finite() {
        return Ok(apply1(Unit { dim, eps, denominator }, x)?);
    }
    Err(Error::value("eps of a unit vector", format!("expected a positive number, got {eps}")))
}
