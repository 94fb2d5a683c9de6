//! Largest and smallest element along an axis.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::FirstExtremum;
use super::kernel::indices;
use super::top_k::Order;
use crate::error::Result;

/// Largest element along `dim`, which becomes 1; the whole gradient goes to the first of equal elements.
/// PyTorch: `torch.max(x, dim, keepdim=True)`.
///
/// candle's own gives the full gradient to each of the equal elements. NaN counts as larger than everything.
///
/// # Errors
/// When `x` has no axis `dim`, the axis is empty, or `x` is not of floating point numbers.
pub fn max_keepdim(x: &Tensor, dim: usize) -> Result<Tensor> {
    extremum(x, dim, Order::Largest)
}

/// Smallest element along `dim`, which becomes 1; the whole gradient goes to the first of equal elements.
/// PyTorch: `torch.min(x, dim, keepdim=True)`.
///
/// NaN counts as smaller than everything.
///
/// # Errors
/// When `x` has no axis `dim`, the axis is empty, or `x` is not of floating point numbers.
pub fn min_keepdim(x: &Tensor, dim: usize) -> Result<Tensor> {
    extremum(x, dim, Order::Smallest)
}

fn extremum(x: &Tensor, dim: usize, order: Order) -> Result<Tensor> {
    x.dim(dim)?;
    let x = x.contiguous()?;
    let first = indices(FirstExtremum { dim, order }, &x.detach())?;
    Ok(x.gather(&first, dim)?)
}
