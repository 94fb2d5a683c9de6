//! Operations on a device against themselves on the CPU: forward and backward, every type, odd shapes, poisoned buffers.
//!
//! Without a GPU the device is the emulator, in three orders of threads, whose results must be the same bytes. Built with
//! the feature `cuda` and run where there is a GPU, the same tests use that as well.

mod affine;
mod affinity;
mod convolution;
mod dense_crf;
mod extremum;
mod matrix;
mod max_pool2d;
mod pointwise;
mod resize;
mod sgd;
mod support;
mod top_k;
mod unit;
