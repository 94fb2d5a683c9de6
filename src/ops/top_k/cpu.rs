//! CPU code: indices of the k best elements of each row.

use candle_core::{Result, Shape};
use rayon::prelude::*;

use super::select::{Selection, key};
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
                .for_each_init(Selection::default, |selection, (result, row)| {
                    selection.smallest(row.iter().map(|&x| key(x, self.order)), result);
                });
        }
        Ok((result, dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        device::indices(self, gpu, x)
    }
}
