//! [`RegularizerConfig`]: any regularizer, from a configuration file.

use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::baseline::BaselineSpec;
use crate::error::Result;
use crate::regularizer::Regularizer;
use crate::regularizer::hsc::{HscConfig, HscRegularizer};
use crate::sampler::Sampler;

/// The configuration of one regularizer, its kind in the field `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RegularizerConfig {
    /// Hierarchical semantic contrast.
    Hsc(HscConfig),
}

impl RegularizerConfig {
    /// Name of the instance: scope of its terms, memory and parameters.
    pub fn name(&self) -> &str {
        match self {
            Self::Hsc(config) => &config.name,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        match self {
            Self::Hsc(config) => Self::Hsc(HscConfig { name: name.to_string(), ..config }),
        }
    }

    /// Builds the regularizer. Its parameters go under its name below `vb`.
    ///
    /// # Errors
    /// When a field is out of range or does not fit the baseline.
    pub fn build(
        &self,
        spec: &BaselineSpec,
        vb: VarBuilder<'_>,
        sampler: &dyn Sampler,
    ) -> Result<Box<dyn Regularizer>> {
        let mut own = sampler.fork(self.name());
        match self {
            Self::Hsc(config) => {
                let hsc = HscRegularizer::new(config.clone(), spec, vb.pp(&config.name), own.as_mut())?;
                Ok(Box::new(hsc))
            }
        }
    }
}
