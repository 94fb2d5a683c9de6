//! Training: optimizer, checkpoints, the loop.

pub mod checkpoint;
mod optim;
mod trainer;

pub use optim::{PolySgd, PolySgdConfig};
pub use trainer::{StepReport, StepTimes, Trainer};
