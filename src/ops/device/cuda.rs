//! NVIDIA's devices, through candle's.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::backend::{BackendDevice, BackendStorage};
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, CudaStream, DevicePtr, LaunchConfig, PushKernelArg, result, sys,
};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, CudaStorage, DType, Device, Layout, Result, Shape, bail};

use super::launch::Arg;
use super::{Buffer, DeviceArray, Gpu, Launch};
use crate::error::Error;

include!(concat!(env!("OUT_DIR"), "/modules.rs"));

/// Shared memory a block gets without asking for more.
const USUAL_SHARED: usize = 48 << 10;

/// A device and its stream.
pub(in crate::ops) struct Cuda {
    device: CudaDevice,
}

impl Cuda {
    pub(in crate::ops) fn of(storage: &CudaStorage) -> Result<Self> {
        Ok(Self { device: storage.device().clone() })
    }

    /// candle's device.
    pub(super) fn device(&self) -> &CudaDevice {
        &self.device
    }

    pub(in crate::ops) fn array<'a>(&self, storage: &CudaStorage, layout: &'a Layout) -> Result<DeviceArray<'a>> {
        let Some((start, _)) = layout.contiguous_offsets() else { bail!("expected a contiguous tensor") };
        let dtype = storage.dtype();
        let address = self.address(storage)? + (start * dtype.size_in_bytes()) as u64;
        Ok(DeviceArray { address, dtype, dims: layout.dims() })
    }

    pub(in crate::ops) fn storage(&self, buffer: Buffer) -> Result<CudaStorage> {
        match buffer.owner.downcast::<CudaStorage>() {
            Ok(storage) => Ok(*storage),
            Err(_) => bail!("a buffer of another device"),
        }
    }

    fn address(&self, storage: &CudaStorage) -> Result<u64> {
        let stream = self.device.cuda_stream();
        // One stream does everything in order, so the guard that records an event is not kept.
        fn of<T>(slice: &CudaSlice<T>, stream: &CudaStream) -> u64 {
            slice.device_ptr(stream).0
        }
        Ok(match &storage.slice {
            CudaStorageSlice::U8(slice) => of(slice, &stream),
            CudaStorageSlice::U32(slice) => of(slice, &stream),
            CudaStorageSlice::I64(slice) => of(slice, &stream),
            CudaStorageSlice::BF16(slice) => of(slice, &stream),
            CudaStorageSlice::F16(slice) => of(slice, &stream),
            CudaStorageSlice::F32(slice) => of(slice, &stream),
            CudaStorageSlice::F64(slice) => of(slice, &stream),
            _ => bail!("kernels know no tensor of type {:?}", storage.dtype()),
        })
    }
}

impl Gpu for Cuda {
    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer> {
        // An empty allocation has no address.
        let shape = Shape::from(len.max(1));
        // SAFETY: whoever asks for a buffer has a kernel write all of it before anything reads it; the tests on the device
        // and the emulator fill it with NaN first.
        #[allow(unsafe_code, reason = "memory that a kernel is about to write")]
        let storage = unsafe { self.device.alloc_uninit(&shape, dtype)? };
        let address = self.address(&storage)?;
        if POISON.load(Ordering::Relaxed) {
            let stream = self.device.cuda_stream();
            // SAFETY: the bytes are those just allocated, in the order of the stream.
            #[allow(unsafe_code, reason = "the driver takes an address")]
            unsafe {
                result::memset_d8_async(address, 0xff, shape.elem_count() * dtype.size_in_bytes(), stream.cu_stream())
            }
            .w()?;
        }
        Ok(Buffer { address, dtype, len, owner: Box::new(storage) })
    }

    fn launch(&self, launch: &Launch<'_>) -> Result<()> {
        if let Some(defect) = launch.defect() {
            bail!("{defect}");
        }
        if launch.is_empty() {
            return Ok(());
        }
        let Some(ptx) = ptx(launch.module) else { bail!("there is no kernel module `{}`", launch.module) };
        let function = self.device.get_or_load_custom_func(&launch.name, launch.module, ptx)?.into_cuda_function();
        if launch.shared > USUAL_SHARED {
            let attribute = sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            function.set_attribute(attribute, launch.shared as i32).w()?;
        }
        let stream = self.device.cuda_stream();
        let mut builder = stream.launch_builder(&function);
        for argument in launch.arguments {
            match argument {
                Arg::Pointer(value) | Arg::U64(value) => builder.arg(value),
                Arg::I32(value) => builder.arg(value),
                Arg::F64(value) => builder.arg(value),
            };
        }
        let [x, y, z] = launch.blocks.map(|count| count as u32);
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (launch.threads as u32, 1, 1),
            shared_mem_bytes: launch.shared as u32,
        };
        // SAFETY: the emulator checks, with the same host code, that arguments have the number and the sizes of the
        // kernel's parameters and that no kernel leaves the buffers it is given.
        #[allow(unsafe_code, reason = "a kernel is foreign code")]
        unsafe { builder.launch(config) }.w()?;
        Ok(())
    }

    fn as_cuda(&self) -> Option<&Cuda> {
        Some(self)
    }
}

static POISON: AtomicBool = AtomicBool::new(false);

/// Fills every buffer of a CUDA device with NaN before a kernel gets it, in all threads: for tests.
#[cfg(any(test, feature = "testing"))]
pub fn poison_buffers(on: bool) {
    POISON.store(on, Ordering::Relaxed);
}

/// The NVIDIA device of that number, ready for training.
///
/// One stream serves all threads, so that batches made in one may be used in another, and freed memory stays with the
/// process.
///
/// # Errors
/// When the crate was built without its feature `cuda`; when there is no driver, no such device, or a library is missing.
pub fn cuda_device(ordinal: usize) -> crate::Result<Device> {
    let unavailable = |err: String| {
        let reason = format!(
            "cuda:{ordinal} cannot be used: {err}; needed are a driver for CUDA 13, the device, and cuBLAS, cuRAND and \
             cuDNN 9 where programs find their libraries"
        );
        Error::value("device", reason)
    };
    // candle panics inside the libraries' initialisation where one of them is missing.
    let device = std::panic::catch_unwind(|| Device::new_cuda_with_stream(ordinal))
        .map_err(|_| unavailable("a library of CUDA failed to load".to_string()))?
        .map_err(|err| unavailable(without_backtrace(&err)))?;
    let cuda = device.as_cuda_device()?;
    // SAFETY: this device has one stream, so nothing is used on another.
    #[allow(unsafe_code, reason = "two events for every allocation are not free")]
    unsafe {
        cuda.disable_event_tracking();
    }
    keep_freed_memory(cuda)?;
    Ok(device)
}

// With RUST_BACKTRACE set, candle writes the trace into its message.
fn without_backtrace(err: &candle_core::Error) -> String {
    let mut err = err;
    while let candle_core::Error::WithBacktrace { inner, .. } = err {
        err = inner;
    }
    err.to_string()
}

fn keep_freed_memory(device: &CudaDevice) -> Result<()> {
    let stream = device.cuda_stream();
    let ordinal = stream.context().cu_device();
    let mut all = u64::MAX;
    // SAFETY: the attribute is a u64, read before the call returns.
    #[allow(unsafe_code, reason = "the driver takes a pointer")]
    unsafe {
        let pool = result::device::get_default_mem_pool(ordinal).w()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        result::mem_pool::set_attribute(pool, attribute, (&raw mut all).cast()).w()?;
    }
    Ok(())
}
