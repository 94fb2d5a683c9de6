//! A value that was found together with its gradients.
//!
//! For scalar losses whose gradient is known up to the factor that comes from above: nothing but the gradients, which
//! have the sizes of the inputs, is kept until then.

use candle_core::{DType, Result, Shape, Tensor};

use super::device::{Arg, Buffer, DeviceArray, Gpu, Launch, array, blocks, suffix};
use super::kernel::{Array, Kernel, Real, values};

/// Threads of a block; losses are few numbers.
const THREADS: usize = 32;

/// The value of a loss, and its gradients by the inputs it is tied to.
pub(super) struct Precomputed<const N: usize> {
    pub(super) value: Tensor,
    pub(super) gradients: [Tensor; N],
}

impl<const N: usize> Kernel<N> for Precomputed<N> {
    const NAME: &'static str = "precomputed";

    fn forward<T: Real>(&self, _: [Array<'_, T>; N]) -> Result<(Vec<T>, Shape)> {
        Ok((values(&self.value, <[T]>::to_vec)?, self.value.shape().clone()))
    }

    fn device(&self, gpu: &dyn Gpu, _: [DeviceArray<'_>; N]) -> Result<(Buffer, Shape)> {
        let count = self.value.elem_count();
        let copy = gpu.alloc(self.value.dtype(), count)?;
        gpu.launch(&Launch {
            module: "precomputed",
            name: format!("copy_value_{}", suffix(self.value.dtype())?).into(),
            blocks: blocks(count, THREADS),
            threads: THREADS,
            shared: 0,
            arguments: &[array(&self.value)?.pointer(), copy.pointer(), Arg::U64(count as u64)],
        })?;
        Ok((copy, self.value.shape().clone()))
    }

    fn backward(&self, _: [&Tensor; N], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; N]> {
        let mut scaled = [const { None }; N];
        for (scaled, gradient) in scaled.iter_mut().zip(&self.gradients) {
            *scaled = Some(gradient.broadcast_mul(grad)?);
        }
        Ok(scaled)
    }
}

/// Maps in a type to compute with: float32 for those of half the size.
pub(super) fn computable(map: &Tensor) -> Result<Tensor> {
    match map.dtype() {
        DType::F16 | DType::BF16 => map.to_dtype(DType::F32)?.contiguous(),
        _ => map.contiguous(),
    }
}
