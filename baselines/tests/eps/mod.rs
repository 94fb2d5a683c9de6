//! EPS: its saliency loss, and the network as a baseline.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

mod network;
mod saliency;
