//! EPS, explicit pseudo-pixel supervision: network, losses, baseline.
//!
//! Lee, Lee, Lee, Shim, "Railroad is not a Train: Saliency as Pseudo-pixel Supervision for Weakly Supervised Semantic
//! Segmentation", CVPR 2021. With SEAM's pixel correlation module and losses it is what PPC and HSC were trained on.

mod config;
pub mod loss;
mod network;

pub use config::{EpsConfig, EpsLosses, EpsWeights, LossViews};
pub use loss::{EpsLossConfig, EpsMaps, SaliencyFit, saliency_fit};
pub use network::Eps;
