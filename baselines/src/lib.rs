//! Baselines, data, training, inference and evaluation around [`candle_wsss`]. Modules stand in the order data flows.

pub mod error;

pub mod data;
pub mod synth;

pub mod backbone;
pub mod eps;
pub mod seam;

pub mod train;

pub mod eval;
pub mod infer;
pub mod report;

pub use error::{Error, Result};
