//! Stands in for `cuda.rs` where the feature `cuda` is off: a device that cannot be had.

use candle_core::{CudaStorage, DType, Device, Layout, Result};

use super::{Buffer, Convolution, DeviceArray, Gpu, Launch};
use crate::error::Error;

/// No value of it exists.
pub(in crate::ops) enum Cuda {}

impl Cuda {
    pub(in crate::ops) fn of(_: &CudaStorage) -> Result<Self> {
        Err(candle_core::Error::NotCompiledWithCudaSupport)
    }

    pub(in crate::ops) fn array<'a>(&self, _: &CudaStorage, _: &'a Layout) -> Result<DeviceArray<'a>> {
        match *self {}
    }

    pub(in crate::ops) fn storage(&self, _: Buffer) -> Result<CudaStorage> {
        match *self {}
    }

    pub(in crate::ops) fn convolution(
        &self,
        _: &Convolution,
        _: DeviceArray<'_>,
        _: DeviceArray<'_>,
    ) -> Result<Option<Buffer>> {
        match *self {}
    }
}

impl Gpu for Cuda {
    fn alloc(&self, _: DType, _: usize) -> Result<Buffer> {
        match *self {}
    }

    fn launch(&self, _: &Launch<'_>) -> Result<()> {
        match *self {}
    }
}

/// Fills every buffer of a CUDA device with NaN before a kernel gets it, in all threads: for tests.
#[cfg(any(test, feature = "testing"))]
pub fn poison_buffers(_: bool) {}

/// The NVIDIA device of that number, ready for training.
///
/// One stream serves all threads, so that batches made in one may be used in another, and freed memory stays with the
/// process.
///
/// # Errors
/// When the crate was built without its feature `cuda`; when there is no driver, no such device, or a library is missing.
pub fn cuda_device(ordinal: usize) -> crate::Result<Device> {
    let reason = format!("cuda:{ordinal} was asked for, but this program was built without the feature `cuda`");
    Err(Error::value("device", reason))
}
