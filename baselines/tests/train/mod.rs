//! Optimizer, checkpoints and the trainer.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod checkpoint;
mod grouped;
mod optim;
mod trainer;
