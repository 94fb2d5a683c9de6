//! Everything that can be chosen about OAA's network. Every default is what the released code does.

use candle_wsss::{Error, Result};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::backbone::{BackboneConfig, Vgg16Config};

/// Network and loss.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OaaConfig {
    /// The trunk; VGG16 where no `type` is given.
    #[serde(deserialize_with = "vgg16_without_type")]
    pub backbone: BackboneConfig,
    /// The layers on it.
    pub head: HeadConfig,
    /// The loss.
    pub loss: OaaLossConfig,
}

impl Default for OaaConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneConfig::Vgg16(Vgg16Config::default()),
            head: HeadConfig::default(),
            loss: OaaLossConfig::default(),
        }
    }
}

// A table with a width and no type means the trunk that no table means.
fn vgg16_without_type<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<BackboneConfig, D::Error> {
    let fields = toml::Table::deserialize(deserializer)?;
    if fields.contains_key("type") {
        return BackboneConfig::deserialize(toml::Value::Table(fields)).map_err(D::Error::custom);
    }
    Vgg16Config::deserialize(toml::Value::Table(fields)).map(BackboneConfig::Vgg16).map_err(D::Error::custom)
}

impl OaaConfig {
    /// As the released code of RCA has this network below its own layers: the loss of the maps that RCA refines counts
    /// 0.4, beside 1 for RCA's own.
    pub fn under_rca() -> Self {
        Self { loss: OaaLossConfig { cls: 0.4, ..OaaLossConfig::default() }, ..Self::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field.
    pub fn validate(&self) -> Result<()> {
        self.backbone.validate("backbone")?;
        self.head.validate("head")?;
        self.loss.validate("loss")
    }
}

/// The layers that make class maps of the trunk's features: 3x3 convolutions with `ReLU`, then a 1x1 convolution, all
/// with bias.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HeadConfig {
    /// 3x3 convolutions; 3 in the released code, and 0 leaves the classifier alone.
    pub layers: usize,
    /// Channels of each; as many as the trunk has in the released code, which is `None`.
    pub hidden: Option<usize>,
    /// Where the weights start; the biases start at 0.
    pub init: HeadInit,
}

impl Default for HeadConfig {
    fn default() -> Self {
        Self { layers: 3, hidden: None, init: HeadInit::default() }
    }
}

impl HeadConfig {
    fn validate(&self, path: &str) -> Result<()> {
        if self.hidden == Some(0) {
            return Err(Error::config(format!("{path}.hidden"), "must be at least 1, is 0"));
        }
        match self.init {
            HeadInit::Normal(std) if !(std.is_finite() && std > 0.0) => {
                Err(Error::config(format!("{path}.init.normal"), format!("must be positive, is {std}")))
            }
            HeadInit::Normal(_) | HeadInit::Kaiming => Ok(()),
        }
    }
}

/// Where the weights of the head start.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadInit {
    /// Normal with this deviation at every width; 0.01 in the released code, which on the 512 channels it was chosen
    /// for is 0.5 of [`Self::Kaiming`]. On a narrow trunk the maps almost vanish.
    Normal(f64),
    /// Normal with deviation `sqrt(2 / fan_in)`.
    Kaiming,
}

impl Default for HeadInit {
    fn default() -> Self {
        Self::Normal(0.01)
    }
}

/// The loss of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OaaLossConfig {
    /// Which views are classified.
    pub views: ClassifiedViews,
    /// Factor of the classification loss, `cls`.
    pub cls: f64,
}

impl Default for OaaLossConfig {
    fn default() -> Self {
        Self { views: ClassifiedViews::default(), cls: 1.0 }
    }
}

impl OaaLossConfig {
    fn validate(&self, path: &str) -> Result<()> {
        if self.cls.is_finite() && self.cls >= 0.0 {
            return Ok(());
        }
        Err(Error::config(format!("{path}.cls"), format!("must be at least 0, is {}", self.cls)))
    }
}

/// Which views are classified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassifiedViews {
    /// The source view: the released code has no other.
    #[default]
    Source,
    /// Both, and the loss is their mean.
    Both,
}
