//! The one integration binary of the core crate.

mod common;
mod core;
mod crf;
mod device;
mod hsc;
mod ops;
mod ppc;
mod pss;
mod rca;
mod seed;
mod tidy;
