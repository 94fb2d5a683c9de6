//! Operations on a device against themselves on the CPU: forward and backward, every type, odd shapes, poisoned buffers.
//!
//! Without a GPU the device is the emulator, in three orders of threads, whose results must be the same bytes. Built with
//! the feature `cuda` and run where there is a GPU, the same tests use that as well.

mod affine;
mod affinity;
mod convolution;
mod dense_crf;
mod equivariance;
mod extremum;
mod matrix;
mod max_pool2d;
mod memory_contrast;
mod min_pool;
mod pointwise;
mod prototype_contrast;
mod region_mean;
mod resize;
mod seeds;
mod sgd;
mod support;
mod top_k;
mod top_prototype;
mod unit;
