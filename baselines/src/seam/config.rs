//! Everything that can be chosen about SEAM. Every default is what the released code does.

pub use candle_wsss::ops::OneHotChannels;
use candle_wsss::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::backbone::{BackboneConfig, check_dropout};

/// Network and losses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeamConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Channel dropout before the classifier, in `[0, 1)`.
    pub dropout: f64,
    /// Which features regularizers get.
    pub feature_tap: FeatureTap,
    /// The pixel correlation module.
    pub pcm: PcmConfig,
    /// The losses.
    pub loss: SeamLossConfig,
}

impl Default for SeamConfig {
    fn default() -> Self {
        Self {
            backbone: BackboneConfig::default(),
            dropout: 0.5,
            feature_tap: FeatureTap::default(),
            pcm: PcmConfig::default(),
            loss: SeamLossConfig::default(),
        }
    }
}

impl SeamConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field.
    pub fn validate(&self) -> Result<()> {
        self.backbone.validate("backbone")?;
        check_dropout("dropout", self.dropout)?;
        self.pcm.validate("pcm")?;
        self.loss.validate("loss")
    }
}

/// Which features regularizers get while training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureTap {
    /// What the classifier gets: the released contrast code on SEAM projects features with dropout on them.
    #[default]
    AfterDropout,
    /// What the trunk gives.
    BeforeDropout,
}

/// The pixel correlation module; channels at the width of the paper, divided as the trunk's are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PcmConfig {
    /// Channels that the first tap of the trunk is projected to.
    pub low_channels: usize,
    /// Channels that the second tap of the trunk is projected to.
    pub high_channels: usize,
    /// Channels that correlation is measured in.
    pub correlation_channels: usize,
    /// Added to norms, maxima and column sums.
    pub epsilon: f64,
}

impl Default for PcmConfig {
    fn default() -> Self {
        Self { low_channels: 64, high_channels: 128, correlation_channels: 192, epsilon: 1e-5 }
    }
}

impl PcmConfig {
    pub(crate) fn validate(&self, path: &str) -> Result<()> {
        let channels = [
            ("low_channels", self.low_channels),
            ("high_channels", self.high_channels),
            ("correlation_channels", self.correlation_channels),
        ];
        if let Some((name, _)) = channels.iter().find(|(_, channels)| *channels == 0) {
            return Err(Error::config(format!("{path}.{name}"), "must be at least 1, is 0"));
        }
        check_positive(&format!("{path}.epsilon"), self.epsilon)
    }
}

/// The losses of a step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeamLossConfig {
    /// Whether the losses see maps resized to the size of their view's image, as SEAM's code does, or at the
    /// network's own resolution, as the released code of the saliency baselines does.
    pub upsample_cams: bool,
    /// The smallest `1 / min_pool_divisor` of the pixels go into the min-pooling loss; at least 1.
    pub min_pool_divisor: usize,
    /// Share of the largest differences in the equivariant cross regularization, in `(0, 1]`.
    pub ecr_fraction: f64,
    /// Which channels compete when a map is made one-hot.
    pub one_hot_channels: OneHotChannels,
    /// Factors of the terms.
    pub weights: SeamWeights,
}

impl Default for SeamLossConfig {
    fn default() -> Self {
        Self {
            upsample_cams: true,
            min_pool_divisor: 4,
            ecr_fraction: 0.2,
            one_hot_channels: OneHotChannels::default(),
            weights: SeamWeights::default(),
        }
    }
}

impl SeamLossConfig {
    pub(crate) fn validate(&self, path: &str) -> Result<()> {
        if self.min_pool_divisor == 0 {
            return Err(Error::config(format!("{path}.min_pool_divisor"), "must be at least 1, is 0"));
        }
        if !(self.ecr_fraction > 0.0 && self.ecr_fraction <= 1.0) {
            let reason = format!("must be above 0 and at most 1, is {}", self.ecr_fraction);
            return Err(Error::config(format!("{path}.ecr_fraction"), reason));
        }
        self.weights.validate(&format!("{path}.weights"))
    }
}

/// Factors of SEAM's loss terms; all 1 in the released code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SeamWeights {
    /// Of the classification loss, `cls`.
    pub cls: f64,
    /// Of the min-pooling loss, `min_pool`.
    pub min_pool: f64,
    /// Of the equivariant regularization, `er`.
    pub er: f64,
    /// Of the equivariant cross regularization, `ecr`.
    pub ecr: f64,
}

impl Default for SeamWeights {
    fn default() -> Self {
        Self { cls: 1.0, min_pool: 1.0, er: 1.0, ecr: 1.0 }
    }
}

impl SeamWeights {
    fn validate(&self, path: &str) -> Result<()> {
        let weights = [("cls", self.cls), ("min_pool", self.min_pool), ("er", self.er), ("ecr", self.ecr)];
        for (name, weight) in weights {
            if !(weight.is_finite() && weight >= 0.0) {
                return Err(Error::config(format!("{path}.{name}"), format!("must be at least 0, is {weight}")));
            }
        }
        Ok(())
    }
}

fn check_positive(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::config(field, format!("must be positive, is {value}")))
}
