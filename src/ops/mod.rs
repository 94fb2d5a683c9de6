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
mod enlarged;
mod equivariance;
mod extremum;
mod filled;
mod gemm;
mod kernel;
mod max_pool2d;
mod memory_contrast;
mod min_pool;
mod normalize;
mod pointwise;
mod precomputed;
mod prototype_contrast;
mod region_mask;
mod region_mean;
mod resize;
mod resized_mean;
mod seeds;
mod select;
mod sgd;
mod slices;
mod soft_margin;
mod top_k;
mod top_prototype;
mod unit;
mod vector;
mod vectors;

pub use affine::{affine, affine_relu};
pub use affinity::{affinity_mean, affinity_mean_composed};
pub use conv2d::{Conv2dSpec, affine_relu_conv2d, conv2d};
pub use dense_crf::{
    CrfKernel, DenseCrf, DenseCrfConfig, DenseCrfPlan, refine_label_pair, refine_label_pair_on_device,
};
pub use depthwise::{DepthwiseSpec, depthwise_conv2d};
#[cfg(any(test, feature = "testing"))]
pub use device::poison_buffers;
pub use device::{Precision, convolution_precision, cuda_device, set_convolution_precision};
#[cfg(all(feature = "emulate", any(test, feature = "testing")))]
pub use device::{ThreadOrder, emulated, is_emulated};
pub use equivariance::{ComparedMaps, EquivarianceOptions, EquivarianceTerms, OneHotChannels, equivariance};
pub use extremum::{max_keepdim, min_keepdim};
pub use max_pool2d::{MaxPool2dSpec, max_pool2d};
pub use memory_contrast::{MemoryContrastSpec, memory_contrast, memory_contrast_composed};
pub use min_pool::min_pool;
pub use normalize::{max_norm, min_max_norm};
pub use pointwise::{abs, clamp, relu};
pub use prototype_contrast::{
    ContrastInputs, ContrastTerm, HardHalf, Negatives, PixelWeights, composed as prototype_contrast_composed,
    prototype_contrast,
};
pub use region_mask::region_masks;
pub use region_mean::{region_mean, region_mean_composed};
pub use resize::{Corners, resize_bilinear, resize_nearest};
pub use resized_mean::resized_mean;
pub use seeds::{best_class, seed_scores};
pub use sgd::{SgdStep, gradient_scale, sgd_step};
pub use soft_margin::soft_margin;
pub use top_k::{Order, TopK, top_k};
pub use top_prototype::{pixel_sums, top_pixels};
pub use unit::{unit, unit_added};
