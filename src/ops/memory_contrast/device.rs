//! The host's part of the kernels.

use candle_core::{Result, Shape, bail};

use super::cpu::MemoryContrast;
use crate::ops::device::{Buffer, DeviceArray, Gpu};

pub(super) fn forward(_: &MemoryContrast, _: &dyn Gpu, _: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    bail!("memory_contrast has no code for CUDA devices")
}
