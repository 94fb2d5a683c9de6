//! Operations candle lacks, or whose gradient is not what the losses need.

mod stable;

pub use stable::{relu, soft_margin};
