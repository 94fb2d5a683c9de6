//! The program as a user meets it: every test runs the binary.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_checkpoint;
mod bad_data;
mod compare;
mod data_check;
mod divergence;
mod evaluation;
mod interrupt;
mod matrix;
mod no_labels;
mod output;
mod pretrain;
mod seeds;
mod seeds_failed;
mod usage;
mod verbs;
mod viz;
pub(crate) mod workbench;
