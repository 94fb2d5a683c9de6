//! [`RegularizerConfig`]: any regularizer, from a configuration file.

use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::regularizer::hsc::{HscConfig, HscRegularizer};
use crate::regularizer::ppc::{PpcConfig, PpcRegularizer};
use crate::regularizer::pss::{PssConfig, PssRegularizer};
use crate::regularizer::rca::{RcaConfig, RcaRegularizer};
use crate::regularizer::{Regularizer, Site};
use crate::sampler::Sampler;

/// The configuration of one regularizer, its kind in the field `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum RegularizerConfig {
    /// Hierarchical semantic contrast.
    Hsc(HscConfig),
    /// Pixel-to-prototype contrast.
    Ppc(PpcConfig),
    /// Regional semantic contrast and aggregation.
    Rca(RcaConfig),
    /// Pixel-level self-supervision.
    Pss(PssConfig),
}

impl RegularizerConfig {
    /// Name of the instance: scope of its terms, memory and parameters.
    pub fn name(&self) -> &str {
        match self {
            Self::Hsc(config) => &config.name,
            Self::Ppc(config) => &config.name,
            Self::Rca(config) => &config.name,
            Self::Pss(config) => &config.name,
        }
    }

    /// The same under another name.
    #[must_use]
    pub fn named(self, name: &str) -> Self {
        let name = name.to_string();
        match self {
            Self::Hsc(config) => Self::Hsc(HscConfig { name, ..config }),
            Self::Ppc(config) => Self::Ppc(PpcConfig { name, ..config }),
            Self::Rca(config) => Self::Rca(RcaConfig { name, ..config }),
            Self::Pss(config) => Self::Pss(PssConfig { name, ..config }),
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Hsc(config) => config.validate(),
            Self::Ppc(config) => config.validate(),
            Self::Rca(config) => config.validate(),
            Self::Pss(config) => config.validate(),
        }
    }

    /// Whether evaluation goes through layers of the regularizer ([`Regularizer::infer`]), so that it has to stay on
    /// the network when training is over.
    pub fn alters_inference(&self) -> bool {
        match self {
            Self::Hsc(_) | Self::Ppc(_) | Self::Pss(_) => false,
            Self::Rca(config) => config.alters_inference(),
        }
    }

    /// Builds the regularizer. Its parameters go under its name below `vb`.
    ///
    /// # Errors
    /// When a field is out of range or does not fit the baseline.
    pub fn build(&self, site: &Site<'_>, vb: VarBuilder<'_>, sampler: &dyn Sampler) -> Result<Box<dyn Regularizer>> {
        let mut own = sampler.fork(self.name());
        let (own, vb) = (own.as_mut(), vb.pp(self.name()));
        Ok(match self {
            Self::Hsc(config) => Box::new(HscRegularizer::new(config.clone(), site.spec, vb, own)?),
            Self::Ppc(config) => Box::new(PpcRegularizer::new(config.clone(), site.spec, vb)?),
            Self::Rca(config) => Box::new(RcaRegularizer::new(config.clone(), site.spec, vb, own)?),
            Self::Pss(config) => Box::new(PssRegularizer::new(config.clone(), site)?),
        })
    }
}
