//! Inference: parity of the arithmetic after the network, whole runs with a toy network, seed files.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod file;
mod grids;
mod parity;
mod run;
