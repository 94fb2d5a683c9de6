//! HSC: hierarchical semantic contrast.
#![allow(missing_docs)]
use serde::{Deserialize, Serialize};
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HscConfig {
    pub name: String,
    pub grid: usize,
}
impl Default for HscConfig {
    fn default() -> Self {
        Self { name: "hsc".into(), grid: 16 }
    }
}
pub struct HscRegularizer {
    name: String,
}
impl HscRegularizer {
    pub fn new(
        config: HscConfig,
        _s: &crate::BaselineSpec,
        _vb: candle_nn::VarBuilder<'_>,
        _r: &mut dyn crate::Sampler,
    ) -> crate::Result<Self> {
        Ok(Self { name: config.name })
    }
}
impl crate::Regularizer for HscRegularizer {
    fn name(&self) -> &str {
        &self.name
    }
    fn objective(&self, _: &crate::Step<'_>, _: &dyn crate::Sampler) -> crate::Result<crate::Objective> {
        Ok(Default::default())
    }
}
