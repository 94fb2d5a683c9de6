//! Evaluation of seeds: `IoU` per class, the curve over background scores, and comparisons that say how sure they are.

mod confusion;
mod cross_fit;
mod statistics;
mod sweep;
mod thresholds;

pub use confusion::{AbsentClass, ClassCounts, Confusion};
pub use cross_fit::{CrossFit, cross_fit};
pub use statistics::{BootstrapConfig, BootstrapInterval, PairedDifference, Spread, bootstrap_difference};
pub use sweep::{Curve, CurvePoint, ImageHistogram, Sweep};
pub use thresholds::ThresholdGrid;
