//! Every pair of pixels summed: `O(pixels²)`, float64.

mod kernel;
mod mean_field;

pub(super) use kernel::PairwiseKernel;
pub(super) use mean_field::mean_field;
