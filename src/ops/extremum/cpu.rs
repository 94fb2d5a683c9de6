//! CPU code: index of the first largest or smallest element along an axis.

use candle_core::{Result, Shape, bail};

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::kernel::{Array, Axis, IndexKernel, Real};
use crate::ops::top_k::Order;

pub(super) struct FirstExtremum {
    pub(super) dim: usize,
    pub(super) order: Order,
}

impl IndexKernel for FirstExtremum {
    const NAME: &'static str = "first extremum";

    fn indices<T: Real>(&self, x: Array<'_, T>) -> Result<(Vec<u32>, Shape)> {
        let axis = Axis::of(x.dims, self.dim);
        if axis.len == 0 {
            bail!("{}: axis {} of {:?} is empty", Self::NAME, self.dim, x.dims);
        }
        let mut dims = x.dims.to_vec();
        dims[self.dim] = 1;
        let values = match self.order {
            Order::Largest => first(x.values, axis, |new, best| new > best),
            Order::Smallest => first(x.values, axis, |new, best| new < best),
        };
        Ok((values, dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        device::indices(self, gpu, x)
    }
}

/// Walks the tensor once, in memory order; one thread, since the work is a comparison per element.
fn first<T: Real>(x: &[T], axis: Axis, better: impl Fn(T, T) -> bool) -> Vec<u32> {
    let mut result = vec![0u32; axis.outer * axis.inner];
    if result.is_empty() {
        return result;
    }
    for (result, block) in result.chunks_mut(axis.inner).zip(x.chunks(axis.len * axis.inner)) {
        let mut best = block[..axis.inner].to_vec();
        for (i, row) in block.chunks(axis.inner).enumerate().skip(1) {
            for ((best, result), &new) in best.iter_mut().zip(result.iter_mut()).zip(row) {
                // NaN is unequal to itself: the first one wins, as in PyTorch.
                #[allow(clippy::eq_op, reason = "the test for NaN of a generic number")]
                if better(new, *best) || (new != new && *best == *best) {
                    *best = new;
                    *result = i as u32;
                }
            }
        }
    }
    result
}
