//! Stub.

use candle_nn::VarBuilder;
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Error, Mode, Objective, ParameterGroup, Result, Sampler, Step, View,
    ViewOutput,
};

use super::config::OaaConfig;

/// Stub.
#[derive(Clone, Debug)]
pub struct Oaa {
    config: OaaConfig,
    spec: BaselineSpec,
}

impl Oaa {
    /// Stub.
    ///
    /// # Errors
    /// Stub.
    pub fn new(config: OaaConfig, layout: ClassLayout, _vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let spec = config.backbone.spec();
        Ok(Self { spec: BaselineSpec { layout, feature_dim: spec.channels[2], stride: spec.stride }, config })
    }
}

impl Baseline for Oaa {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, _view: &View, _mode: Mode<'_>) -> Result<ViewOutput> {
        Err(Error::value("stub", "stub"))
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        Err(Error::value("stub", "stub"))
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.config.backbone.parameter_group(name)
    }
}
