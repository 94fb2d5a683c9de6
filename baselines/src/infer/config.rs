//! What inference is told.

use candle_wsss::Error;
use serde::{Deserialize, Serialize};

use crate::data::Filter;
use crate::error::Result;

/// The largest scale: memory grows with its square.
const MAX_SCALE: f64 = 10.0;

/// Which maps of the network seeds are made of, and how their sum becomes scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MapSource {
    /// The refined maps (the raw ones where the baseline has no refinement), each brought to `[0, 1]` by its largest and
    /// smallest value in the image: SEAM and PPC on it.
    #[default]
    Refined,
    /// The soft-max of the raw maps over all classes, divided by the largest value in the image: EPS, and HSC on it.
    Softmax,
}

/// How images are brought to another scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageFilter {
    /// Pillow's `BICUBIC`: the released code of all four papers.
    #[default]
    Bicubic,
    /// Pillow's `BILINEAR`.
    Bilinear,
}

impl From<ImageFilter> for Filter {
    fn from(filter: ImageFilter) -> Self {
        match filter {
            ImageFilter::Bicubic => Self::Bicubic,
            ImageFilter::Bilinear => Self::Bilinear,
        }
    }
}

/// How seed maps are made. The default is the released code of SEAM.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InferConfig {
    /// Factors the image is resized by, above 0 and at most 10, each one run of the network; their maps are summed.
    pub scales: Vec<f64>,
    /// How the image is resized.
    pub image_filter: ImageFilter,
    /// Whether every scale is run on the mirrored image as well.
    pub flip: bool,
    /// What is summed, and how the sum is normalised.
    pub source: MapSource,
}

impl Default for InferConfig {
    fn default() -> Self {
        let scales = vec![0.5, 1.0, 1.5, 2.0];
        Self { scales, image_filter: ImageFilter::default(), flip: true, source: MapSource::default() }
    }
}

impl InferConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// When there are no scales, or one is not above 0 and at most 10.
    pub fn check(&self) -> Result<()> {
        if self.scales.is_empty() {
            return Err(Error::config("infer.scales", "must not be empty").into());
        }
        if let Some(bad) = self.scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(Error::config("infer.scales", format!("must be positive, one is {bad}")).into());
        }
        if let Some(bad) = self.scales.iter().find(|scale| **scale > MAX_SCALE) {
            return Err(Error::config("infer.scales", format!("must be at most {MAX_SCALE}, one is {bad}")).into());
        }
        Ok(())
    }

    /// Length of a side at a scale: rounded as Python does, halves to even, and at least 1.
    ///
    /// ```
    /// use candle_wsss_baselines::infer::InferConfig;
    ///
    /// assert_eq!(InferConfig::scaled_len(333, 0.5), 166);
    /// assert_eq!(InferConfig::scaled_len(375, 0.5), 188);
    /// ```
    pub fn scaled_len(len: usize, scale: f64) -> usize {
        ((len as f64 * scale).round_ties_even() as usize).max(1)
    }
}
