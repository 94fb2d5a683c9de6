//! The norm of gradients as operations in place: sums of squares by parts, then the factor.

use candle_core::{CpuStorage, CudaStorage, InplaceOp2, Layout, Result, bail};

use super::step::span;
use super::{cpu, device};
use crate::ops::device::{Cuda, emulator};

/// Parts that the squares of so many elements are summed in, whatever the device.
pub(super) fn parts(elements: usize) -> usize {
    elements.div_ceil(1 << 15).clamp(1, 256)
}

/// Writes the sums of the squares.
pub(super) struct Squares;

const NAME: &str = "norm of gradients";

impl InplaceOp2 for Squares {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, sums: &mut CpuStorage, at: &Layout, x: &CpuStorage, x_at: &Layout) -> Result<()> {
        let CpuStorage::F64(sums) = sums else { bail!("{NAME}: expected sums of float64") };
        let (sums, x_span) = (&mut sums[span(at)?], span(x_at)?);
        if emulator().is_some() {
            return device::emulated_squares((x, x_at), sums);
        }
        match x {
            CpuStorage::F32(x) => cpu::squares(&x[x_span], sums),
            CpuStorage::F64(x) => cpu::squares(&x[x_span], sums),
            CpuStorage::F16(x) => cpu::squares(&x[x_span], sums),
            CpuStorage::BF16(x) => cpu::squares(&x[x_span], sums),
            _ => bail!("{NAME}: expected a floating point tensor"),
        }
        Ok(())
    }

    fn cuda_fwd(&self, sums: &mut CudaStorage, at: &Layout, x: &CudaStorage, x_at: &Layout) -> Result<()> {
        let cuda = Cuda::of(sums)?;
        let sums = cuda.array(sums, at)?;
        device::squares(&cuda, cuda.array(x, x_at)?, sums.pointer(), sums.len())
    }
}

/// Writes the factor that brings the root of all sums down to the limit.
pub(super) struct Scale {
    pub(super) limit: f64,
}

impl InplaceOp2 for Scale {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, scale: &mut CpuStorage, at: &Layout, sums: &CpuStorage, sums_at: &Layout) -> Result<()> {
        let (CpuStorage::F64(scale), CpuStorage::F64(values)) = (scale, sums) else {
            bail!("{NAME}: expected sums of float64")
        };
        let scale = &mut scale[span(at)?];
        if emulator().is_some() {
            return device::emulated_scale((sums, sums_at), self.limit, scale);
        }
        let norm = values[span(sums_at)?].iter().sum::<f64>().sqrt();
        // Comparisons that are false for NaN, so that it stays one.
        let norm = if norm < f64::MIN_POSITIVE { f64::MIN_POSITIVE } else { norm };
        let ratio = self.limit / norm;
        scale.fill(if ratio > 1.0 { 1.0 } else { ratio });
        Ok(())
    }

    fn cuda_fwd(&self, scale: &mut CudaStorage, at: &Layout, sums: &CudaStorage, sums_at: &Layout) -> Result<()> {
        let cuda = Cuda::of(scale)?;
        let scale = cuda.array(scale, at)?;
        device::scale(&cuda, cuda.array(sums, sums_at)?, self.limit, scale.pointer())
    }
}
