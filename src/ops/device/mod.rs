//! Devices that run kernels: NVIDIA's, and an imitation of one on the host, for tests.
//!
//! A kernel is a function in the `kernel.cu` of an operation's folder. The host's part of it is written once, against
//! [`Gpu`]: allocate, launch. `build.rs` compiles the kernels for NVIDIA devices under the feature `cuda`, and for the host
//! under `emulate`. Everything here is compiled always; without a feature its device cannot be had.

#[cfg_attr(not(any(feature = "cuda", feature = "emulate")), allow(dead_code, reason = "no device to use it"))]
mod array;
mod convolution;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(not(feature = "cuda"))]
#[path = "no_cuda.rs"]
mod cuda;
#[cfg(feature = "cuda")]
mod cudnn;
#[cfg(feature = "emulate")]
mod emulator;
#[cfg(not(feature = "emulate"))]
#[path = "no_emulator.rs"]
mod emulator;
#[cfg(all(test, feature = "emulate"))]
mod emulator_tests;
#[cfg_attr(not(any(feature = "cuda", feature = "emulate")), allow(dead_code, reason = "no device to use it"))]
mod launch;

#[allow(unused_imports, reason = "what kernels need is the same for all")]
pub(in crate::ops) use array::{Buffer, DeviceArray, DeviceTensor, accumulator, array, suffix};
pub(in crate::ops) use convolution::{Convolution, Pass};
pub use convolution::{Precision, convolution_precision, set_convolution_precision};
pub(in crate::ops) use cuda::Cuda;
pub use cuda::cuda_device;
#[cfg(any(test, feature = "testing"))]
pub use cuda::poison_buffers;
pub(in crate::ops) use emulator::emulator;
#[cfg(feature = "emulate")]
pub use emulator::{ThreadOrder, emulated, is_emulated};
#[allow(unused_imports, reason = "as above")]
pub(in crate::ops) use launch::{Arg, Launch, blocks, map_blocks};

use candle_core::{DType, Result};

/// What the host's part of a kernel may ask for. Nothing waits for the device, and nothing is read back.
pub(in crate::ops) trait Gpu {
    /// Memory of `len` elements, whose contents are anything.
    fn alloc(&self, dtype: DType, len: usize) -> Result<Buffer>;

    /// Starts a kernel; those started before are done when it begins.
    fn launch(&self, launch: &Launch<'_>) -> Result<()>;

    /// The device of NVIDIA's, where libraries of theirs can be used.
    fn as_cuda(&self) -> Option<&Cuda> {
        None
    }
}
