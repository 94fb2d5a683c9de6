//! PSS: per term a naive oracle, gradients, closed forms and degenerate batches; the moving average; as a plug-in.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod config;
mod expansion;
mod inputs;
mod memory;
mod plug_in;
mod region;
