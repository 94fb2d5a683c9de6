//! PPC, pixel-to-prototype contrast: every pixel of two views against the class prototypes of both.
//!
//! The trunk's features are projected and brought to one grid. Seeds of both views ([`PpcSeeds`]) say what each pixel is
//! and make a prototype for every class ([`prototypes`]), new in every step. Across the views, pixels are contrasted with
//! the prototypes of the other view and under its labels; within a view with mined negatives ([`Candidates`]) and for
//! sampled pixels ([`sample_pixels`]). [`evaluate`] states the equations.
//!
//! # Terms
//! `cross_prototype`, `cross_label`, `intra`, each of weight `weight` times its own factor.
//!
//! # Memory
//! None.
//!
//! # Parameters
//! `fc_proj.weight`, `(projection_dim, feature_dim, 1, 1)`: from scratch.
//!
//! # Reference
//! Du et al., "Weakly Supervised Semantic Segmentation by Pixel-to-Prototype Contrast", CVPR 2022, as released;
//! [`PpcConfig`] names where that differs from the evident intention.

mod config;
mod mining;
mod sampling;
mod seeds;
mod terms;

pub use config::{PixelSampling, PositiveRank, PpcConfig, PrototypeMining, SemiHardRanks, SmallClasses};
pub use mining::Candidates;
pub use sampling::{ClassSample, pixel_weights, sample_pixels};
pub use seeds::{PpcSeeds, prototypes};
pub use terms::evaluate;

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::baseline::{BaselineSpec, Step};
use crate::error::{Result, expect_shape};
use crate::objective::Objective;
use crate::ops::{Conv2dSpec, conv2d, relu};
use crate::regularizer::Regularizer;
use crate::sampler::Sampler;

/// PPC as a plug-in of any baseline.
#[derive(Debug)]
pub struct PpcRegularizer {
    config: PpcConfig,
    spec: BaselineSpec,
    projection: Tensor,
}

impl PpcRegularizer {
    /// For baselines of that specification. The projection comes from `vb`, which is scoped to this regularizer already.
    ///
    /// # Errors
    /// When the configuration is invalid, or `vb` has a parameter of another shape.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_wsss::regularizer::ppc::{PpcConfig, PpcRegularizer};
    /// use candle_wsss::{BaselineSpec, ClassLayout, ParameterStore};
    ///
    /// let spec = BaselineSpec { layout: ClassLayout::new(3)?, feature_dim: 8, stride: 8 };
    /// let store = ParameterStore::new();
    /// let vb = store.var_builder(0, DType::F32, &Device::Cpu);
    /// let config = PpcConfig { projection_dim: 4, ..PpcConfig::seam() };
    /// let new = |config: PpcConfig| PpcRegularizer::new(config, &spec, vb.pp("ppc"));
    /// assert!(new(config.clone()).is_ok());
    /// assert!(new(PpcConfig { temperature: 0.0, ..config }).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(config: PpcConfig, spec: &BaselineSpec, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let dims = (config.projection_dim, spec.feature_dim, 1, 1);
        // Xavier's, as released.
        let up = (6.0 / (config.projection_dim + spec.feature_dim) as f64).sqrt();
        let projection = vb.get_with_hints(dims, "fc_proj.weight", Init::Uniform { lo: -up, up })?;
        Ok(Self { config, spec: spec.clone(), projection })
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &PpcConfig {
        &self.config
    }

    /// `relu(fc_proj(x))` of the trunk's features, `(N, feature_dim, h, w)` to `(N, projection_dim, h, w)`.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn project(&self, features: &Tensor) -> Result<Tensor> {
        expect_shape("features", features, ["N".into(), self.spec.feature_dim.into(), "h".into(), "w".into()])?;
        relu(&conv2d(features, &self.projection, Conv2dSpec::default())?)
    }
}

impl Regularizer for PpcRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        step.outputs.as_ref().try_map(|output| output.check(&self.spec))?;
        let cams = step.outputs.as_ref().map(|output| output.seed_cam());
        let features = step.outputs.as_ref().try_map(|output| self.project(&output.features))?;
        evaluate(&features, cams, step.labels, &self.config, sampler)
    }
}
