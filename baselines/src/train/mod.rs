//! Training: optimizer, checkpoints, the loop.

pub mod checkpoint;
mod ledger;
mod optim;
mod trainer;

pub(crate) use ledger::Ledger;
pub use optim::{PolySgd, PolySgdConfig};
pub use trainer::{StepReport, StepTimes, Trainer};
