//! EPS, explicit pseudo-pixel supervision: the saliency loss.
//!
//! Lee, Lee, Lee, Shim, "Railroad is not a Train: Saliency as Pseudo-pixel Supervision for Weakly Supervised Semantic
//! Segmentation", CVPR 2021.

pub mod loss;

pub use loss::{EpsLossConfig, SaliencyFit};
