//! CPU code: indices of the k best elements of each row.

use std::cmp::Ordering;

use candle_core::{Result, Shape};
use rayon::prelude::*;

use super::{Order, device};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::kernel::{Array, GRAIN, IndexKernel, Real};

pub(super) struct TopKIndices {
    pub(super) k: usize,
    pub(super) order: Order,
}

impl IndexKernel for TopKIndices {
    const NAME: &'static str = "top_k";

    fn indices<T: Real>(&self, x: Array<'_, T>) -> Result<(Vec<u32>, Shape)> {
        let (&len, outer) = x.dims.split_last().unwrap_or((&1, &[]));
        let mut dims = outer.to_vec();
        dims.push(self.k);
        let mut result = vec![0u32; dims.iter().product()];
        if !result.is_empty() {
            result
                .par_chunks_mut(self.k)
                .zip(x.values.par_chunks(len))
                .with_min_len(GRAIN.div_ceil(8 * len))
                .for_each(|(result, row)| self.row(row, result));
        }
        Ok((result, dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        device::indices(self, gpu, x)
    }
}

impl TopKIndices {
    /// Selects, then sorts the selection only. The index breaks ties, so the order is total and unstable sorts are safe.
    fn row<T: Real>(&self, row: &[T], result: &mut [u32]) {
        let compare = |&a: &u32, &b: &u32| {
            let by_value = compare_nan_last(row[a as usize], row[b as usize]);
            let by_value = if self.order == Order::Largest { by_value.reverse() } else { by_value };
            by_value.then(a.cmp(&b))
        };
        let mut indices: Vec<u32> = (0..row.len() as u32).collect();
        if self.k < indices.len() {
            indices.select_nth_unstable_by(self.k, compare);
            indices.truncate(self.k);
        }
        indices.sort_unstable_by(compare);
        result.copy_from_slice(&indices);
    }
}

/// Ascending, the two zeros equal, NaN above everything.
fn compare_nan_last<T: Real>(a: T, b: T) -> Ordering {
    #[allow(clippy::eq_op, reason = "the test for NaN of a generic number")]
    a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}
