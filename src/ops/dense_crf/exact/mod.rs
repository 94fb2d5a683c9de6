//! Every pair of pixels summed: `O(pixels²)`, float64 on the CPU, float32 on devices.

mod device;
mod kernel;
mod mean_field;

pub(super) use device::ExactLabels;
pub(super) use kernel::{PairwiseKernel, SpaceKernel};
pub(super) use mean_field::mean_field;
