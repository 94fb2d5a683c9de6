//! Deterministic synthetic data set in PASCAL VOC layout.
#![doc = "\n"]
#![doc = include_str!("DESIGN.md")]

mod camera;
mod config;
mod context;
mod creature;
mod detector;
mod draw;
mod emblem;
mod files;
mod generate;
mod paint;
mod scene;
mod truth;
mod world;

pub use config::SynthConfig;
pub use generate::{SplitSummary, Summary, generate};
