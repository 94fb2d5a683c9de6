//! Baselines, data, training, inference and evaluation around [`candle_wsss`], and the program `wsss` made of them.
//!
//! Modules stand in the order data flows:
//!
//! * [`pickle`] reads Python's pickles as data.
//! * [`data`] reads PASCAL VOC, COCO and plain folders: an [`ImageSet`](data::ImageSet) for training, which cannot reach a
//!   mask, and a [`Dataset`](data::Dataset) with masks, for evaluation; [`synth`] makes a data set in VOC's layout.
//! * [`backbone`], [`seam`], [`eps`] and [`oaa`] are networks and their losses; [`weights`] reads those of other programs.
//! * [`train`] takes optimizer steps on any baseline, and writes checkpoints.
//! * [`infer`] makes seeds of a trained network, [`accumulate`] of what it saw while it was trained; [`crf`] refines them, [`eval`] scores them, [`report`] puts methods side by side.
//! * [`config`] is a run as one TOML file, [`run`] puts it to work, [`cli`] is what can be typed.
//!
//! ```
//! use candle_core::Device;
//! use candle_wsss::{Baseline, ClassLayout};
//! use candle_wsss_baselines::config::RunConfig;
//! use candle_wsss_baselines::run::build;
//!
//! let mut config = RunConfig::builtin("embedded")?;
//! config.weights = None;
//! let model = build(&config, &config.method("hsc")?, ClassLayout::new(8)?, 1, &Device::Cpu)?;
//! assert_eq!(model.baseline.spec().feature_dim, 4096 / 8);
//! assert!(config.method("no-such").is_err());
//! # Ok::<(), candle_wsss_baselines::Error>(())
//! ```

pub mod error;
mod settings;

pub mod pickle;

pub mod data;
pub mod synth;

pub mod backbone;
pub mod weights;

pub mod seam;

pub mod eps;
pub mod oaa;

pub mod train;

pub mod infer;

pub mod accumulate;
pub mod crf;

pub mod eval;

pub mod report;

pub mod config;
pub mod run;

pub mod cli;

pub use error::{Error, Result};
