//! [`DenseCrfConfig`]: the constants of the model, with one preset per user.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How the pairwise sums are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrfKernel {
    /// By permutohedral lattice in float32, in time linear in the pixels: what released code does, number by number.
    #[default]
    Lattice,
    /// Exactly, in time quadratic in the pixels: for maps of a few thousand pixels. In float64 on the host; in float32
    /// where tensors are on a CUDA device, which it does not leave.
    Exact,
}

/// Constants of the fully connected CRF. The default is [`Self::hsc_labels`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DenseCrfConfig {
    /// How the pairwise sums are made.
    pub kernel: CrfKernel,
    /// Mean-field iterations.
    pub iterations: usize,
    /// Probability that a given hard label is right, in `(0, 1)`; the other labels share the rest.
    pub gt_prob: f64,
    /// Soft unaries are `-ln max(p, min_probability)`.
    pub min_probability: f64,
    /// Width of the Gaussian kernel, pixels.
    pub gaussian_sxy: f64,
    /// Weight of the Gaussian kernel.
    pub gaussian_compat: f64,
    /// Width of the bilateral kernel in space, pixels.
    pub bilateral_sxy: f64,
    /// Width of the bilateral kernel in colour, levels of 255.
    pub bilateral_srgb: f64,
    /// Weight of the bilateral kernel.
    pub bilateral_compat: f64,
}

impl DenseCrfConfig {
    /// Hard pseudo labels during HSC's training: colour counts far more than position.
    pub const fn hsc_labels() -> Self {
        Self {
            kernel: CrfKernel::Lattice,
            iterations: 10,
            gt_prob: 0.7,
            min_probability: 1e-5,
            gaussian_sxy: 3.0,
            gaussian_compat: 3.0,
            bilateral_sxy: 50.0,
            bilateral_srgb: 5.0,
            bilateral_compat: 10.0,
        }
    }

    /// Class activation maps with a background power, as SEAM refines its seeds.
    pub const fn seam_soft() -> Self {
        Self { bilateral_sxy: 80.0, bilateral_srgb: 13.0, ..Self::hsc_labels() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        let inside = |value: f64| value > 0.0 && value < 1.0;
        if !inside(self.gt_prob) {
            return Err(Error::config("gt_prob", format!("must be above 0 and below 1, is {}", self.gt_prob)));
        }
        if !inside(self.min_probability) {
            let reason = format!("must be above 0 and below 1, is {}", self.min_probability);
            return Err(Error::config("min_probability", reason));
        }
        let widths = [
            ("gaussian_sxy", self.gaussian_sxy),
            ("bilateral_sxy", self.bilateral_sxy),
            ("bilateral_srgb", self.bilateral_srgb),
        ];
        for (field, value) in widths {
            if !(value.is_finite() && value > 0.0) {
                return Err(Error::config(field, format!("must be positive, is {value}")));
            }
        }
        for (field, value) in [("gaussian_compat", self.gaussian_compat), ("bilateral_compat", self.bilateral_compat)] {
            if !(value.is_finite() && value >= 0.0) {
                return Err(Error::config(field, format!("must not be negative, is {value}")));
            }
        }
        Ok(())
    }
}

impl Default for DenseCrfConfig {
    fn default() -> Self {
        Self::hsc_labels()
    }
}
