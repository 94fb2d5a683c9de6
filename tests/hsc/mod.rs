//! HSC: golden vectors, and per level a naive oracle, gradients, closed forms and degenerate batches; as a plug-in.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod class;
mod config;
mod heads;
mod inputs;
mod parity;
mod pixel;
mod plug_in;
mod roi;
mod train_step;
