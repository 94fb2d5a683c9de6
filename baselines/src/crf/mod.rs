//! Seeds refined by the colours of their image: from activation maps to masks.

use candle_wsss::ops::DenseCrfConfig;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::data::Mask;
use crate::error::Result;
use crate::infer::SeedMaps;

/// How seeds become masks through a dense CRF.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrfConfig {
    /// Kernels and iterations.
    pub kernel: DenseCrfConfig,
}

impl Default for CrfConfig {
    fn default() -> Self {
        Self { kernel: DenseCrfConfig::seam_soft() }
    }
}

impl CrfConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        Ok(self.kernel.validate()?)
    }
}

/// The mask of an image: its seeds, refined.
///
/// # Errors
/// When the sizes differ or a constant is out of its range.
pub fn refine_seeds(_image: &RgbImage, _seeds: &SeedMaps, config: &CrfConfig) -> Result<Mask> {
    config.validate()?;
    Err(crate::Error::Config("the CRF on whole images is not there yet".to_string()))
}
