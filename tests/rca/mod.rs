//! RCA: golden vectors, naive oracles, gradients, closed forms and degenerate batches of its parts; as a plug-in.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod config;
mod contrast;
mod heads;
mod inputs;
mod kmeans;
mod parity;
mod plug_in;
mod queue;
mod update;
