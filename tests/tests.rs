//! The one integration binary of the core crate.

mod common;
mod crf;
mod hsc;
mod ops;
mod seed;
