//! Baselines, data, training, inference and evaluation around [`candle_wsss`]. Modules stand in the order data flows.

pub mod error;
mod settings;

pub mod data;
pub mod synth;

pub mod backbone;
pub mod eps;
pub mod seam;

pub mod train;

pub mod infer;

pub mod eval;

pub mod report;

pub mod config;
pub mod run;

pub mod cli;

pub use error::{Error, Result};
