//! Rows of the bank, in tiles.

use std::any::Any;

use candle_core::{DType, Result, Tensor, bail};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

use crate::ops::kernel::{Real, values};

/// Numbers of a tile: in float32 a quarter of the second cache of today's processors.
const TILE_NUMBERS: usize = 1 << 16;

/// Written rows of one class, one after the other.
#[derive(Clone, Copy)]
pub(super) struct Tile {
    pub(super) class: usize,
    /// Of the whole bank.
    pub(super) first: usize,
    /// Of the class.
    pub(super) slot: usize,
    pub(super) len: usize,
}

/// All written rows of a bank, tiles of nearly equal length in each class.
pub(super) fn tiles(filled: &[u32], length: usize, dim: usize) -> Vec<Tile> {
    let most = (TILE_NUMBERS / dim.max(1)).max(1);
    let of_class = |(class, &filled): (usize, &u32)| {
        let filled = filled as usize;
        let len = filled.div_ceil(filled.div_ceil(most).max(1)).max(1);
        (0..filled).step_by(len).map(move |slot| {
            let len = len.min(filled - slot);
            Tile { class, first: class * length + slot, slot, len }
        })
    };
    filled.iter().enumerate().flat_map(of_class).collect()
}

/// All rows.
#[derive(Clone, Copy)]
pub(super) enum Bank<'a, T> {
    /// In the type of the computation.
    Same(&'a [T]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
}

/// Runs `f` on the rows of a contiguous tensor.
pub(super) fn with<T: Real, R>(bank: &Tensor, f: impl FnOnce(Bank<'_, T>) -> R) -> Result<R> {
    match bank.dtype() {
        dtype if dtype == T::DTYPE => values(bank, |rows| f(Bank::Same(rows))),
        DType::F16 if T::DTYPE == DType::F32 => values(bank, |rows| f(Bank::F16(rows))),
        DType::BF16 if T::DTYPE == DType::F32 => values(bank, |rows| f(Bank::Bf16(rows))),
        other => {
            bail!("bank of a memory contrast: expected rows of half precision or of the queries' type, got {other:?}")
        }
    }
}

impl<T: Real> Bank<'_, T> {
    /// The rows of a tile in the type of the computation: those of the bank itself where it has it, else widened.
    pub(super) fn rows<'r>(&'r self, tile: &Tile, dim: usize, wide: &'r mut Vec<f32>) -> &'r [T] {
        let span = tile.first * dim..(tile.first + tile.len) * dim;
        if let Self::Same(rows) = self {
            return &rows[span];
        }
        wide.resize(span.len(), 0.0);
        match self {
            Self::Same(_) => {}
            Self::F16(rows) => rows[span].convert_to_f32_slice(wide),
            Self::Bf16(rows) => rows[span].convert_to_f32_slice(wide),
        }
        // Half precision is computed in float32 alone (`with`), which this tells the compiler.
        let wide: &Vec<f32> = wide;
        (wide as &dyn Any).downcast_ref::<Vec<T>>().map_or(&[], Vec::as_slice)
    }
}
