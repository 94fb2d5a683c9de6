//! The one integration binary of the baselines crate.

#[path = "../../tests/common/fixture.rs"]
#[allow(dead_code, reason = "shared with the core crate's tests; each uses its part")]
mod fixture;

mod eps;
mod hsc_step;
mod network;
mod seam;
mod support;
mod eval;
mod infer;
mod report;
