//! PPC: golden vectors, a naive oracle, gradients, closed forms and degenerate batches; as a plug-in.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod closed;
mod config;
mod degenerate;
mod golden;
mod gradient;
mod inputs;
mod oracle;
mod parity;
mod plug_in;
