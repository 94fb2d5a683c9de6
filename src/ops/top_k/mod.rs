//! The k largest or smallest elements of each row.

mod cpu;
mod device;
pub(super) mod select;

use candle_core::{D, Tensor};

use self::cpu::TopKIndices;
use super::kernel::indices;
use crate::error::{Error, Result};

/// Which end of the order is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Largest first.
    Largest,
    /// Smallest first.
    Smallest,
}

/// Result of [`top_k`].
#[derive(Clone, Debug)]
pub struct TopK {
    /// The elements, best first: `(.., k)`. Differentiable.
    pub values: Tensor,
    /// Their positions along the last axis: `(.., k)`, u32.
    pub indices: Tensor,
}

/// The `k` largest or smallest elements along the last axis, sorted; among equal ones the lowest index comes first.
/// PyTorch: `torch.topk`, which leaves ties open; this is the head of `torch.sort(stable=True)`.
///
/// NaN counts as larger than everything.
///
/// # Shapes
/// `(.., len)` to `(.., k)`.
///
/// # Errors
/// When `k > len`, when `x` has no axis, or is not of floating point numbers.
pub fn top_k(x: &Tensor, k: usize, order: Order) -> Result<TopK> {
    let len = x.dim(D::Minus1)?;
    if k > len {
        return Err(Error::value("top_k", format!("expected k <= {len}, the length of the last axis, got {k}")));
    }
    let x = x.contiguous()?;
    let indices = indices(TopKIndices { k, order }, &x.detach())?;
    let values = x.gather(&indices, D::Minus1)?;
    Ok(TopK { values, indices })
}
