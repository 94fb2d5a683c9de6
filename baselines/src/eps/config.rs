//! Everything that can be chosen about EPS. Every default is what the released code does.

use candle_wsss::{Error, Result};
use serde::{Deserialize, Serialize};

use super::loss::EpsLossConfig;
use crate::backbone::{BackboneConfig, check_dropout};
use crate::seam::{FeatureTap, OneHotChannels, PcmConfig, SeamLossConfig, SeamWeights};

/// Network and losses.
///
/// The default is the released EPS; [`EpsConfig::with_pcm`] is the variant that PPC and HSC train on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpsConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
    /// Channel dropout before the classifier, in `[0, 1)`; none in the released code.
    pub dropout: f64,
    /// Which features regularizers get; the same ones without dropout.
    pub feature_tap: FeatureTap,
    /// SEAM's pixel correlation module, and with it SEAM's losses of two views. `None` is EPS by itself.
    pub pcm: Option<PcmConfig>,
    /// The losses.
    pub loss: EpsLosses,
}

impl EpsConfig {
    /// The variant that PPC and HSC train on: EPS with SEAM's pixel correlation module, and the losses of both views.
    pub fn with_pcm() -> Self {
        let loss = EpsLosses { views: LossViews::Both, ..EpsLosses::default() };
        Self { pcm: Some(PcmConfig::default()), loss, ..Self::default() }
    }

    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field.
    pub fn validate(&self) -> Result<()> {
        self.backbone.validate("backbone")?;
        check_dropout("dropout", self.dropout)?;
        if let Some(pcm) = &self.pcm {
            pcm.validate("pcm")?;
            if self.loss.views != LossViews::Both {
                let reason = "must be `both` with a `pcm`, whose losses compare two views, is `source`";
                return Err(Error::config("loss.views", reason));
            }
        }
        self.loss.validate("loss")
    }
}

/// Which views the classification and the saliency loss see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossViews {
    /// The source view alone: the released EPS has no other. Regularizers see both all the same.
    #[default]
    Source,
    /// Both views, averaged, as the released code of PPC and HSC does.
    Both,
}

/// The losses of a step, at the network's own resolution. Those after `saliency` need a pixel correlation module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpsLosses {
    /// Which views the losses see; [`LossViews::Both`] is required with a pixel correlation module.
    pub views: LossViews,
    /// The saliency loss.
    pub saliency: EpsLossConfig,
    /// The smallest `1 / min_pool_divisor` of the pixels go into the min-pooling loss; at least 1.
    pub min_pool_divisor: usize,
    /// Share of the largest differences in the equivariant cross regularization, in `(0, 1]`.
    pub ecr_fraction: f64,
    /// Which channels compete when a map is made one-hot.
    pub one_hot_channels: OneHotChannels,
    /// Factors of the terms.
    pub weights: EpsWeights,
}

impl Default for EpsLosses {
    fn default() -> Self {
        Self {
            views: LossViews::default(),
            saliency: EpsLossConfig::default(),
            min_pool_divisor: 4,
            ecr_fraction: 0.2,
            one_hot_channels: OneHotChannels::SkipFirst,
            weights: EpsWeights::default(),
        }
    }
}

impl EpsLosses {
    /// The part that is SEAM's.
    pub(super) fn seam(&self) -> SeamLossConfig {
        let EpsWeights { cls, sal: _, min_pool, er, ecr } = self.weights;
        SeamLossConfig {
            upsample_cams: false,
            min_pool_divisor: self.min_pool_divisor,
            ecr_fraction: self.ecr_fraction,
            one_hot_channels: self.one_hot_channels,
            weights: SeamWeights { cls, min_pool, er, ecr },
        }
    }

    fn validate(&self, path: &str) -> Result<()> {
        self.saliency.validate(&format!("{path}.saliency"))?;
        self.seam().validate(path)?;
        let sal = self.weights.sal;
        if sal.is_finite() && sal >= 0.0 {
            return Ok(());
        }
        Err(Error::config(format!("{path}.weights.sal"), format!("must be at least 0, is {sal}")))
    }
}

/// Factors of the loss terms; all 1 in the released code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpsWeights {
    /// Of the classification loss, `cls`.
    pub cls: f64,
    /// Of the saliency loss, `sal`.
    pub sal: f64,
    /// Of the min-pooling loss, `min_pool`.
    pub min_pool: f64,
    /// Of the equivariant regularization, `er`.
    pub er: f64,
    /// Of the equivariant cross regularization, `ecr`.
    pub ecr: f64,
}

impl Default for EpsWeights {
    fn default() -> Self {
        Self { cls: 1.0, sal: 1.0, min_pool: 1.0, er: 1.0, ecr: 1.0 }
    }
}
