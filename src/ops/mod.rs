//! Operations candle lacks, or whose gradient is not what the losses need.

mod dense_crf;
mod stable;

pub use dense_crf::{DenseCrf, DenseCrfConfig, refine_label_pair};
pub use stable::{relu, soft_margin};
