//! [`BackboneConfig`]: any trunk, from a configuration file.

use std::sync::Arc;

use candle_nn::VarBuilder;
use candle_wsss::{ParameterGroup, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{Backbone, BackboneSpec, ResNet38d, ResNet38dConfig, Vgg16, Vgg16Config};

/// The trunk, its kind in the field `type`; without that field a ResNet38d.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type")]
pub enum BackboneConfig {
    /// The wide residual network of SEAM and EPS.
    #[serde(rename = "resnet38d")]
    ResNet38d(ResNet38dConfig),
    /// The plain network of OAA and RCA.
    #[serde(rename = "vgg16")]
    Vgg16(Vgg16Config),
}

impl<'de> Deserialize<'de> for BackboneConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        let mut fields = toml::Table::deserialize(deserializer)?;
        let kind = fields.remove("type").unwrap_or_else(|| toml::Value::from(RESNET38D));
        let kind = String::deserialize(kind).map_err(D::Error::custom)?;
        let fields = toml::Value::Table(fields);
        match kind.as_str() {
            RESNET38D => ResNet38dConfig::deserialize(fields).map(Self::ResNet38d),
            VGG16 => Vgg16Config::deserialize(fields).map(Self::Vgg16),
            _ => return Err(D::Error::unknown_variant(&kind, &[RESNET38D, VGG16])),
        }
        .map_err(D::Error::custom)
    }
}

const RESNET38D: &str = "resnet38d";
const VGG16: &str = "vgg16";

impl Default for BackboneConfig {
    fn default() -> Self {
        Self::ResNet38d(ResNet38dConfig::default())
    }
}

impl BackboneConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        match self {
            Self::ResNet38d(config) => config.validate(path),
            Self::Vgg16(config) => config.validate(path),
        }
    }

    /// A trunk whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> Result<Arc<dyn Backbone>> {
        Ok(match self {
            Self::ResNet38d(config) => Arc::new(ResNet38d::new(config, vb)?),
            Self::Vgg16(config) => Arc::new(Vgg16::new(config, vb)?),
        })
    }

    /// Stride and channels of the trunk.
    pub fn spec(&self) -> BackboneSpec {
        match self {
            Self::ResNet38d(config) => config.spec(),
            Self::Vgg16(config) => config.spec(),
        }
    }

    /// So many channels of the full network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        match self {
            Self::ResNet38d(config) => config.scaled(channels),
            Self::Vgg16(config) => config.scaled(channels),
        }
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        match self {
            Self::ResNet38d(config) => config.parameter_group(name),
            Self::Vgg16(config) => config.parameter_group(name),
        }
    }
}
