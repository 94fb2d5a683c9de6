//! [`BackboneConfig`]: any trunk, from a configuration file.

use std::sync::Arc;

use candle_nn::VarBuilder;
use candle_wsss::{ParameterGroup, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::{
    Backbone, BackboneSpec, BatchNormMode, MobileNetV2, MobileNetV2Config, ResNet38d, ResNet38dConfig, ResNet50,
    ResNet50Config, SqueezeNet, SqueezeNetConfig, Vgg16, Vgg16Config,
};

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
    /// The residual network most of the literature uses.
    #[serde(rename = "resnet50")]
    ResNet50(ResNet50Config),
    /// Small, with depthwise convolutions.
    #[serde(rename = "mobilenet_v2")]
    MobileNetV2(MobileNetV2Config),
    /// Smaller, without batch normalisation.
    #[serde(rename = "squeezenet1_0")]
    SqueezeNet(SqueezeNetConfig),
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
            RESNET50 => ResNet50Config::deserialize(fields).map(Self::ResNet50),
            MOBILENET_V2 => MobileNetV2Config::deserialize(fields).map(Self::MobileNetV2),
            SQUEEZENET1_0 => SqueezeNetConfig::deserialize(fields).map(Self::SqueezeNet),
            _ => return Err(D::Error::unknown_variant(&kind, KINDS)),
        }
        .map_err(D::Error::custom)
    }
}

const RESNET38D: &str = "resnet38d";
const VGG16: &str = "vgg16";
const RESNET50: &str = "resnet50";
const MOBILENET_V2: &str = "mobilenet_v2";
const SQUEEZENET1_0: &str = "squeezenet1_0";
const KINDS: &[&str] = &[RESNET38D, VGG16, RESNET50, MOBILENET_V2, SQUEEZENET1_0];

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
            Self::ResNet50(config) => config.validate(path),
            Self::MobileNetV2(config) => config.validate(path),
            Self::SqueezeNet(config) => config.validate(path),
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
            Self::ResNet50(config) => Arc::new(ResNet50::new(config, vb)?),
            Self::MobileNetV2(config) => Arc::new(MobileNetV2::new(config, vb)?),
            Self::SqueezeNet(config) => Arc::new(SqueezeNet::new(config, vb)?),
        })
    }

    /// Stride and channels of the trunk.
    pub fn spec(&self) -> BackboneSpec {
        match self {
            Self::ResNet38d(config) => config.spec(),
            Self::Vgg16(config) => config.spec(),
            Self::ResNet50(config) => config.spec(),
            Self::MobileNetV2(config) => config.spec(),
            Self::SqueezeNet(config) => config.spec(),
        }
    }

    /// Whether passes in training move its running statistics.
    pub fn trains_batch_norm(&self) -> bool {
        let mode = match self {
            Self::ResNet38d(config) => config.batch_norm,
            Self::ResNet50(config) => config.batch_norm,
            Self::MobileNetV2(config) => config.batch_norm,
            Self::Vgg16(_) | Self::SqueezeNet(_) => BatchNormMode::Frozen,
        };
        mode == BatchNormMode::Train
    }

    /// Its kind, as in a configuration file.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ResNet38d(_) => RESNET38D,
            Self::Vgg16(_) => VGG16,
            Self::ResNet50(_) => RESNET50,
            Self::MobileNetV2(_) => MOBILENET_V2,
            Self::SqueezeNet(_) => SQUEEZENET1_0,
        }
    }

    /// So many channels of the full network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        match self {
            Self::ResNet38d(config) => config.scaled(channels),
            Self::Vgg16(config) => config.scaled(channels),
            Self::ResNet50(config) => config.scaled(channels),
            Self::MobileNetV2(config) => config.scaled(channels),
            Self::SqueezeNet(config) => config.scaled(channels),
        }
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        match self {
            Self::ResNet38d(config) => config.parameter_group(name),
            Self::Vgg16(config) => config.parameter_group(name),
            Self::ResNet50(config) => config.parameter_group(name),
            Self::MobileNetV2(config) => config.parameter_group(name),
            Self::SqueezeNet(config) => config.parameter_group(name),
        }
    }
}
