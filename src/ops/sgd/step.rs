//! The step as an operation in place: the parameter is what is written, the velocity is reached from inside.

use std::cell::RefCell;

use candle_core::{CpuStorage, CudaStorage, InplaceOp1, InplaceOp2, Layout, Result, Tensor, bail};

use super::{SgdStep, cpu, device};
use crate::ops::device::{Cuda, DeviceArray, emulator};

pub(super) struct Step<'a> {
    pub(super) velocity: Option<&'a Tensor>,
    pub(super) scale: Option<&'a Tensor>,
    pub(super) numbers: SgdStep,
}

const NAME: &str = "sgd step";

impl InplaceOp2 for Step<'_> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, weight: &mut CpuStorage, at: &Layout, grad: &CpuStorage, grad_at: &Layout) -> Result<()> {
        let Some(velocity) = self.velocity else { return self.on_host((weight, at), (grad, grad_at), None) };
        // The inner operation only gets a shared reference to its closure.
        let weight = RefCell::new(weight);
        let with_velocity = |velocity: &mut CpuStorage, velocity_at: &Layout| {
            self.on_host((&mut weight.borrow_mut(), at), (grad, grad_at), Some((velocity, velocity_at)))
        };
        velocity.inplace_op1(&OnCpu(with_velocity))
    }

    fn cuda_fwd(&self, weight: &mut CudaStorage, at: &Layout, grad: &CudaStorage, grad_at: &Layout) -> Result<()> {
        let cuda = Cuda::of(weight)?;
        let (weight, grad) = (cuda.array(weight, at)?, cuda.array(grad, grad_at)?);
        let arrays = [weight, grad];
        let Some(velocity) = self.velocity else { return self.on_device(&cuda, arrays, None) };
        let with_velocity =
            |velocity: &mut CudaStorage, at: &Layout| self.on_device(&cuda, arrays, Some(cuda.array(velocity, at)?));
        velocity.inplace_op1(&OnCuda(with_velocity))
    }
}

impl Step<'_> {
    fn on_device(&self, cuda: &Cuda, arrays: [DeviceArray<'_>; 2], velocity: Option<DeviceArray<'_>>) -> Result<()> {
        device::step(&self.numbers, self.scale, cuda, arrays, velocity, None)
    }

    fn on_host(
        &self,
        (weight, at): (&mut CpuStorage, &Layout),
        (grad, grad_at): (&CpuStorage, &Layout),
        velocity: Option<(&mut CpuStorage, &Layout)>,
    ) -> Result<()> {
        if emulator().is_some() {
            return device::emulated_step(&self.numbers, self.scale, (weight, at), (grad, grad_at), velocity);
        }
        let scale = self.scale.map(|scale| scale.to_vec0::<f64>()).transpose()?;
        let (span, grad_span) = (span(at)?, span(grad_at)?);
        let velocity_span = velocity.as_ref().map(|(_, at)| self::span(at)).transpose()?.unwrap_or_default();
        let velocity = velocity.map(|(velocity, _)| velocity);
        macro_rules! of_types {
            ($($kind:ident),*) => {
                match (weight, grad, velocity) {
                    $(
                        (CpuStorage::$kind(weight), CpuStorage::$kind(grad), None) => {
                            cpu::step(&self.numbers, scale, &mut weight[span], &grad[grad_span], None);
                        }
                        (CpuStorage::$kind(weight), CpuStorage::$kind(grad), Some(CpuStorage::$kind(velocity))) => {
                            let velocity = Some(&mut velocity[velocity_span]);
                            cpu::step(&self.numbers, scale, &mut weight[span], &grad[grad_span], velocity);
                        }
                    )*
                    _ => bail!("{NAME}: expected floating point tensors of one type"),
                }
            };
        }
        of_types!(F32, F64, F16, BF16);
        Ok(())
    }
}

/// The elements of a contiguous tensor in its storage.
pub(super) fn span(layout: &Layout) -> Result<std::ops::Range<usize>> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("{NAME}: expected contiguous tensors") };
    Ok(start..end)
}

/// An operation in place that is a closure, for the CPU.
struct OnCpu<F>(F);

impl<F: Fn(&mut CpuStorage, &Layout) -> Result<()>> InplaceOp1 for OnCpu<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        (self.0)(storage, layout)
    }
}

/// The same for CUDA devices.
struct OnCuda<F>(F);

impl<F: Fn(&mut CudaStorage, &Layout) -> Result<()>> InplaceOp1 for OnCuda<F> {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout) -> Result<()> {
        bail!("{NAME}: the velocity is on the CPU, the parameter is not")
    }

    fn cuda_fwd(&self, storage: &mut CudaStorage, layout: &Layout) -> Result<()> {
        (self.0)(storage, layout)
    }
}

/// Does nothing; candle refuses it where the two tensors share memory.
pub(super) struct Apart;

impl InplaceOp2 for Apart {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, _: &mut CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<()> {
        Ok(())
    }

    fn cuda_fwd(&self, _: &mut CudaStorage, _: &Layout, _: &CudaStorage, _: &Layout) -> Result<()> {
        Ok(())
    }
}
