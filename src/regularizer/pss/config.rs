//! Configuration. What the abstract fixes is the structure; every number is ours and a field.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::baseline::ViewOutput;
use crate::error::{Error, Result};
use crate::regularizer::ranges::{self, not_negative, positive, share};

/// Configuration of [`PssRegularizer`](super::PssRegularizer).
///
/// No code of the method was released: the defaults are this crate's reading of the abstract.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PssConfig {
    /// Scope of the terms and the memory.
    pub name: String,
    /// Share of the support network that stays at a commit, in `[0, 1]`; the rest comes from the main network.
    pub support_momentum: f64,
    /// When the support network parts from the main network.
    pub support_start: SupportStart,
    /// Sizes of the image that the support network sees, as factors of the source view's, positive.
    pub support_scales: Vec<f64>,
    /// Regional contrast: pixel features against class prototypes.
    pub rcm: RcmConfig,
    /// Multi-scale attention: activation maps against the support network's.
    pub mam: MamConfig,
}

/// The regional contrast (RCM).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RcmConfig {
    /// Whether the term takes part.
    pub enabled: bool,
    /// Weight of the term; 0 is as good as not enabled.
    pub weight: f64,
    /// First epoch it takes part in, from 0.
    pub start_epoch: usize,
    /// The maps of the support network that regions are made of.
    pub cam: CamSource,
    /// Above it, the best present class has the pixel; in `[0, 1)`, against maps normalised to that range.
    pub foreground_threshold: f64,
    /// Below it, the pixel is background; from 0 to `foreground_threshold`. Pixels between the two are ignored.
    pub background_threshold: f64,
    /// Temperature of the soft-max over prototypes.
    pub temperature: f64,
}

/// The multi-scale attention (MAM).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MamConfig {
    /// Whether the term takes part.
    pub enabled: bool,
    /// Weight of the term; 0 is as good as not enabled.
    pub weight: f64,
    /// First epoch it takes part in, from 0.
    pub start_epoch: usize,
    /// The maps of both networks that are compared.
    pub cam: CamSource,
    /// Sizes of the image that the main network sees, as factors of the source view's, positive. 1 is the step's own
    /// output; every other one costs a forward and a backward pass.
    pub main_scales: Vec<f64>,
    /// Temperature of the soft-max over the support network's scales.
    pub attention_temperature: f64,
}

/// When the support network parts from the main network. The same as long as a term takes part from epoch 0 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupportStart {
    /// With the first step that a term takes part in; before, it keeps up with the main network. So a short run whose
    /// classifier starts from nothing can train it first, rather than be taught by its random start.
    FirstTerm,
    /// With the first step of all.
    FirstStep,
}

/// Which of a network's maps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CamSource {
    /// The classifier's own.
    Raw,
    /// After the baseline's refinement, or the classifier's own where it has none.
    Refined,
}

impl CamSource {
    pub(super) fn of(self, output: &ViewOutput) -> &Tensor {
        match self {
            Self::Raw => &output.cam,
            Self::Refined => output.seed_cam(),
        }
    }
}

impl PssConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        ranges::name(&self.name)?;
        share("support_momentum", self.support_momentum)?;
        scales("support_scales", &self.support_scales)?;
        self.rcm.validate()?;
        self.mam.validate()
    }
}

impl RcmConfig {
    pub(super) fn takes_part(&self) -> bool {
        self.enabled && self.weight > 0.0
    }

    fn validate(&self) -> Result<()> {
        not_negative("rcm.weight", self.weight)?;
        let (low, high) = (self.background_threshold, self.foreground_threshold);
        // Written so that NaN fails.
        if !(0.0..1.0).contains(&high) {
            return Err(Error::config("rcm.foreground_threshold", format!("must be from 0 to below 1, is {high}")));
        }
        if !(0.0..=high).contains(&low) {
            let reason = format!("must be from 0 to the foreground's {high}, is {low}");
            return Err(Error::config("rcm.background_threshold", reason));
        }
        positive("rcm.temperature", self.temperature)
    }
}

impl MamConfig {
    pub(super) fn takes_part(&self) -> bool {
        self.enabled && self.weight > 0.0
    }

    fn validate(&self) -> Result<()> {
        not_negative("mam.weight", self.weight)?;
        scales("mam.main_scales", &self.main_scales)?;
        positive("mam.attention_temperature", self.attention_temperature)
    }
}

fn scales(field: &str, values: &[f64]) -> Result<()> {
    if values.is_empty() {
        return Err(Error::config(field, "must have at least 1 entry, has 0"));
    }
    for (at, value) in values.iter().enumerate() {
        positive(&format!("{field}[{at}]"), *value)?;
        // A scale names the stream its forward pass draws from.
        if values[..at].contains(value) {
            return Err(Error::config(format!("{field}[{at}]"), format!("must be there once, {value} is twice")));
        }
    }
    Ok(())
}

impl Default for PssConfig {
    fn default() -> Self {
        Self {
            name: "pss".to_string(),
            support_momentum: 0.999,
            support_start: SupportStart::FirstTerm,
            support_scales: vec![0.5, 1.0, 1.5, 2.0],
            rcm: RcmConfig::default(),
            mam: MamConfig::default(),
        }
    }
}

impl Default for RcmConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            weight: 1.0,
            start_epoch: 0,
            // Regions are pseudo labels, and those come from the map seeds are made of.
            cam: CamSource::Refined,
            foreground_threshold: 0.4,
            background_threshold: 0.1,
            temperature: 0.1,
        }
    }
}

impl Default for MamConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            weight: 1.0,
            start_epoch: 0,
            // The classifier is to expand; SEAM's refined map, for one, passes it no gradient.
            cam: CamSource::Raw,
            main_scales: vec![0.5, 1.0, 2.0],
            attention_temperature: 0.5,
        }
    }
}
