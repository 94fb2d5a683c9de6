//! Memory of a device.

use std::any::Any;

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, bail};

use super::launch::Arg;
use super::{Cuda, emulator};

/// A contiguous tensor as the host's part of a kernel sees it.
#[derive(Clone, Copy, Debug)]
pub(in crate::ops) struct DeviceArray<'a> {
    pub(super) address: u64,
    pub(in crate::ops) dtype: DType,
    pub(in crate::ops) dims: &'a [usize],
}

impl DeviceArray<'_> {
    pub(in crate::ops) fn pointer(&self) -> Arg {
        Arg::Pointer(self.address)
    }

    pub(in crate::ops) fn len(&self) -> usize {
        self.dims.iter().product()
    }
}

/// Memory that a kernel writes. It belongs to whoever holds this; on a CUDA device it is given back in the stream's order,
/// so a launched kernel may still use what was dropped.
pub(in crate::ops) struct Buffer {
    pub(super) address: u64,
    pub(super) dtype: DType,
    pub(super) len: usize,
    pub(super) owner: Box<dyn Any>,
}

impl Buffer {
    pub(in crate::ops) fn pointer(&self) -> Arg {
        Arg::Pointer(self.address)
    }

    /// A pointer to the element at `offset`.
    pub(in crate::ops) fn pointer_at(&self, offset: usize) -> Arg {
        debug_assert!(offset <= self.len, "offset into a buffer");
        Arg::Pointer(self.address + (offset * self.dtype.size_in_bytes()) as u64)
    }

    /// As an input of the next kernel.
    pub(in crate::ops) fn array<'a>(&self, dims: &'a [usize]) -> DeviceArray<'a> {
        debug_assert_eq!(self.len, dims.iter().product::<usize>(), "elements of a buffer");
        DeviceArray { address: self.address, dtype: self.dtype, dims }
    }
}

/// A tensor an operation holds beside its inputs, on the device.
pub(in crate::ops) struct DeviceTensor {
    address: u64,
    tensor: Tensor,
    _owner: Option<Buffer>,
}

impl DeviceTensor {
    pub(in crate::ops) fn as_array(&self) -> DeviceArray<'_> {
        DeviceArray { address: self.address, dtype: self.tensor.dtype(), dims: self.tensor.dims() }
    }

    pub(in crate::ops) fn pointer(&self) -> Arg {
        Arg::Pointer(self.address)
    }
}

/// The memory of a tensor that is not one of the inputs. It must be contiguous.
pub(in crate::ops) fn array(tensor: &Tensor) -> Result<DeviceTensor> {
    let (storage, layout) = tensor.storage_and_layout();
    let (address, owner) = match &*storage {
        Storage::Cuda(storage) => (Cuda::of(storage)?.array(storage, layout)?.address, None),
        Storage::Cpu(storage) => {
            let Some(emulator) = emulator() else { bail!("expected a tensor on the device, got one on the CPU") };
            let copy = emulator.copy(storage, layout)?;
            (copy.address, Some(copy))
        }
        Storage::Metal(_) => bail!("expected a tensor on a CUDA device, got one on a Metal device"),
    };
    drop(storage);
    Ok(DeviceTensor { address, tensor: tensor.clone(), _owner: owner })
}

/// What the names of a type's kernels end in.
pub(in crate::ops) fn suffix(dtype: DType) -> Result<&'static str> {
    match dtype {
        DType::F32 => Ok("f32"),
        DType::F64 => Ok("f64"),
        DType::F16 => Ok("f16"),
        DType::BF16 => Ok("bf16"),
        other => bail!("expected a floating point tensor, got {other:?}"),
    }
}

/// The type sums are kept in: float64 for itself, float32 for all others.
pub(in crate::ops) fn accumulator(dtype: DType) -> DType {
    if dtype == DType::F64 { DType::F64 } else { DType::F32 }
}

/// The bytes of a contiguous tensor on the host, as an address and a length in elements.
#[cfg_attr(not(feature = "emulate"), allow(dead_code, reason = "the emulator reads the host's memory"))]
pub(super) fn host_span(storage: &CpuStorage, layout: &Layout) -> Result<(u64, usize)> {
    let Some((start, end)) = layout.contiguous_offsets() else { bail!("expected a contiguous tensor") };
    let address = match storage {
        CpuStorage::U8(values) => values[start..end].as_ptr() as u64,
        CpuStorage::U32(values) => values[start..end].as_ptr() as u64,
        CpuStorage::I64(values) => values[start..end].as_ptr() as u64,
        CpuStorage::BF16(values) => values[start..end].as_ptr() as u64,
        CpuStorage::F16(values) => values[start..end].as_ptr() as u64,
        CpuStorage::F32(values) => values[start..end].as_ptr() as u64,
        CpuStorage::F64(values) => values[start..end].as_ptr() as u64,
        _ => bail!("kernels know no tensor of this type"),
    };
    Ok((address, end - start))
}
