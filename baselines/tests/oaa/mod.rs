//! OAA: network and loss, accumulation of maps, and both together in a training.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

mod maps;
mod network;
mod parity;
mod passes;
mod training;
