//! Plug-in losses for weakly supervised semantic segmentation, on [candle](candle_core).

pub mod error;
mod label;
mod objective;
mod sampler;
mod view;

pub mod init;
pub mod memory;
pub mod ops;

pub mod contrast;
pub mod prototype;
pub mod seed;

mod baseline;
pub mod regularizer;

#[cfg(any(test, feature = "testing"))]
#[allow(clippy::missing_panics_doc, reason = "assertions panic, that is their purpose")]
pub mod testing;

pub use baseline::{Baseline, BaselineSpec, Mode, ParameterGroup, Progress, Step, ViewOutput};
pub use error::{Error, Result};
pub use init::ParameterStore;
pub use label::{ClassLayout, ImageLabels};
pub use memory::{MemoryState, PrototypeBank};
pub use objective::{LossTerm, LossTerms, Objective, OmittedTerm, TermValue};
pub use regularizer::{Regularized, Regularizer};
pub use sampler::{ReplaySampler, Sampler, SeededSampler};
pub use view::{Normalization, Pair, View};
