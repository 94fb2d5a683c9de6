//! Runs through the library.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod errors;
mod job;
mod start;
