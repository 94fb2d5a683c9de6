//! Evaluation of seeds: `IoU` per class, the curve over background scores, and comparisons that say how sure they are.

mod bins;
mod bootstrap;
mod confusion;
mod cross_fit;
mod measures;
mod open_pixels;
mod statistics;
mod sweep;
mod thresholds;

pub use bootstrap::{BootstrapConfig, BootstrapInterval, Interval, bootstrap_difference, bootstrap_mean_iou};
pub use confusion::{AbsentClass, ClassCounts, Confusion};
pub use cross_fit::{CrossFit, cross_fit};
pub use measures::{ClassMeasures, Measures};
pub use open_pixels::OpenPixels;
pub use statistics::{PairedDifference, Spread};
pub use sweep::{Curve, CurvePoint, ImageHistogram, Sweep};
pub use thresholds::ThresholdGrid;
