//! SEAM's losses and pixel correlation module.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

mod fused;
mod losses;
mod parity;
