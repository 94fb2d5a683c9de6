//! Operations candle lacks, or whose gradient is not what the losses need.
//!
//! All of them take non-contiguous tensors, and give the same bits whatever the number of threads. Those with code of
//! their own (a folder each) take float32, float64, float16 and bfloat16, the latter two with sums in float32, on the CPU
//! and, under the feature `cuda`, on NVIDIA devices; every other case is an error.

mod affine;
mod affinity;
mod conv2d;
mod dense_crf;
mod depthwise;
mod device;
mod extremum;
mod gemm;
mod kernel;
mod max_pool2d;
mod pointwise;
mod resize;
mod soft_margin;
mod top_k;
mod unit;
mod vectors;

pub use affine::{affine, affine_relu};
pub use affinity::affinity_mean;
pub use conv2d::{Conv2dSpec, affine_relu_conv2d, conv2d};
pub use dense_crf::{CrfKernel, DenseCrf, DenseCrfConfig, DenseCrfPlan, refine_label_pair};
pub use depthwise::{DepthwiseSpec, depthwise_conv2d};
pub use device::cuda_device;
#[cfg(any(test, feature = "testing"))]
pub use device::poison_buffers;
#[cfg(all(feature = "emulate", any(test, feature = "testing")))]
pub use device::{ThreadOrder, emulated};
pub use extremum::{max_keepdim, min_keepdim};
pub use max_pool2d::{MaxPool2dSpec, max_pool2d};
pub use pointwise::{abs, clamp, relu};
pub use resize::{Corners, resize_bilinear, resize_nearest};
pub use soft_margin::soft_margin;
pub use top_k::{Order, TopK, top_k};
pub use unit::{unit, unit_added};
