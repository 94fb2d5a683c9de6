//! SEAM, the self-supervised equivariant attention mechanism: network, losses, baseline.
//!
//! Wang, Zhang, Kan, Shan, Chen, "Self-supervised Equivariant Attention Mechanism for Weakly Supervised Semantic
//! Segmentation", CVPR 2020. The released network has the background first; here it is last, see
//! [`background_to_last`].

mod config;
pub mod loss;
mod network;
pub mod pcm;

pub use config::{FeatureTap, OneHotChannels, PcmConfig, SeamConfig, SeamLossConfig, SeamWeights};
pub use network::{Seam, background_to_last};
