//! The one integration binary of the core crate.

mod common;
mod core;
mod crf;
mod hsc;
mod ops;
mod ppc;
mod pss;
mod seed;
mod tidy;
