//! EPS, explicit pseudo-pixel supervision: network, losses, baseline.
//!
//! Lee, Lee, Lee, Shim, "Railroad is not a Train: Saliency as Pseudo-pixel Supervision for Weakly Supervised Semantic
//! Segmentation", CVPR 2021.

mod config;
pub mod loss;
mod network;

pub use config::EpsConfig;
pub use loss::{EpsLossConfig, SaliencyFit, saliency_fit};
pub use network::Eps;
