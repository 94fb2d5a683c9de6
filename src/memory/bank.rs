//! [`PrototypeBank`]: momentum prototypes, one row each.

use candle_core::{DType, Device, Tensor};

use crate::error::Result;
use crate::sampler::Sampler;

/// Momentum prototypes, `(rows, dim)`. A value: moving it returns the next bank.
#[derive(Clone, Debug)]
pub struct PrototypeBank {
    rows: Tensor,
}

impl PrototypeBank {
    /// Standard normal rows, as the released code starts its banks.
    ///
    /// # Errors
    /// Those of candle or of a replayed sampler.
    pub fn normal(rows: usize, dim: usize, dtype: DType, device: &Device, sampler: &mut dyn Sampler) -> Result<Self> {
        let rows = Tensor::from_vec(sampler.normal(rows * dim)?, (rows, dim), device)?.to_dtype(dtype)?;
        Ok(Self { rows })
    }

    /// A bank of the given rows, `(rows, dim)`, cut off from their graph.
    pub fn from_rows(rows: &Tensor) -> Self {
        Self { rows: rows.detach() }
    }

    /// `(rows, dim)`.
    pub fn rows(&self) -> &Tensor {
        &self.rows
    }

    /// Moves every row: `(1 - momentum) * fresh + momentum * old`, `fresh` being `(rows, dim)`.
    ///
    /// # Errors
    /// When the shapes differ.
    #[must_use = "the bank is a value; keep the returned one"]
    pub fn moved(&self, fresh: &Tensor, momentum: f64) -> Result<Self> {
        let rows = ((fresh.detach() * (1.0 - momentum))? + (&self.rows * momentum)?)?;
        Ok(Self { rows })
    }

    /// Moves one row, `fresh` being `(dim)`; the others stay.
    ///
    /// # Errors
    /// When the row does not exist or the shape is another.
    #[must_use = "the bank is a value; keep the returned one"]
    pub fn moved_row(&self, row: usize, fresh: &Tensor, momentum: f64) -> Result<Self> {
        let old = self.rows.get(row)?;
        let next = ((fresh.detach() * (1.0 - momentum))? + (old * momentum)?)?.unsqueeze(0)?;
        let count = self.rows.dim(0)?;
        let above = self.rows.narrow(0, 0, row)?;
        let below = self.rows.narrow(0, row + 1, count - row - 1)?;
        Ok(Self { rows: Tensor::cat(&[&above, &next, &below], 0)? })
    }
}
