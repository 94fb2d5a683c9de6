//! The report: same bytes for the same data, everything in it, nothing outside it, and its parts.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

pub(crate) mod events;
mod example;
mod matrix;
mod numbers;
mod page;
mod parts;
mod seeds_page;
