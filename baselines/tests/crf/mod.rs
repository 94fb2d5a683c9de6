//! Seeds through the CRF: presets, labels, saliency rules, `wsss crf`.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod chain;
mod folders;
mod job;
mod program;
mod refine;
