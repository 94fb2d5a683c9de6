//! The one integration binary of the core crate.

mod common;
mod core;
mod crf;
mod hsc;
mod ops;
mod rca;
mod seed;
mod tidy;
