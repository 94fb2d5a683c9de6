//! The one integration binary of the baselines crate.

#[path = "../../tests/common/fixture.rs"]
#[allow(dead_code, reason = "shared with the core crate's tests; each uses its part")]
mod fixture;

mod backbone;
mod cli;
mod coco;
mod config;
mod crf;
mod data;
mod eps;
mod eval;
mod hsc_step;
mod infer;
mod matrix;
mod network;
mod oaa;
mod pickle;
mod ppc_step;
mod report;
mod run;
mod seam;
mod support;
mod synth;
mod train;
mod weights;
