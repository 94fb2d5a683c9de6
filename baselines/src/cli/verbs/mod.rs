//! One file per verb: what can be typed, and what it does.

pub(super) mod compare;
pub(super) mod config;
pub(super) mod crf;
pub(super) mod data;
pub(super) mod eval;
pub(super) mod pretrain;
pub(super) mod seeds;
pub(super) mod synth;
pub(super) mod train;
pub(super) mod viz;
pub(super) mod weights;
