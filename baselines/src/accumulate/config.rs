//! What accumulation is told.

use candle_wsss::Error;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Attention accumulated while training. The released code accumulates what training itself computes, on augmented
/// images in the middle of an epoch; here the network is run over the plain images at the end of each epoch, so that a
/// map depends on the epoch and the image alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccumulateConfig {
    /// Whether maps are accumulated.
    pub enabled: bool,
    /// The first epoch whose maps count, from 0; 1 in the released code.
    pub start_epoch: usize,
    /// Which maps count.
    pub acceptance: Acceptance,
    /// Whether in the last epoch a class of an image that has no map yet gets one, accepted or not; the released code
    /// does so. Without it such a class has no file, and no seeds.
    pub fill: bool,
    /// Size of the image the network is given.
    pub input: AttentionInput,
    /// What the seeds of a comparison are made of.
    pub seeds: SeedOrigin,
}

impl Default for AccumulateConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            start_epoch: 1,
            acceptance: Acceptance::default(),
            fill: true,
            input: AttentionInput::default(),
            seeds: SeedOrigin::default(),
        }
    }
}

impl AccumulateConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        match self.acceptance {
            Acceptance::Probability(p) if !(0.0..=1.0).contains(&p) => {
                let reason = format!("must be from 0 to 1, is {p}");
                return Err(Error::config("acceptance.probability", reason).into());
            }
            Acceptance::Probability(_) | Acceptance::Ranked => {}
        }
        if self.input == AttentionInput::Squashed(0) {
            return Err(Error::config("input.squashed", "must be at least 1, is 0").into());
        }
        Ok(())
    }

    /// Whether a comparison makes its seeds of the accumulated maps.
    pub fn makes_seeds(&self) -> bool {
        self.enabled && self.seeds == SeedOrigin::Accumulated
    }
}

/// Which of an image's classes the network must be sure enough of for its map to count. Only classes among the image's
/// labels are ever asked for.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Acceptance {
    /// The network gives the class at least this probability, in `[0, 1]`: RCA's 0.1, and OAA's at first.
    Probability(f64),
    /// The class is among the `k` the network finds most probable in an image of `k` labels: OAA's later code.
    Ranked,
}

impl Default for Acceptance {
    fn default() -> Self {
        Self::Probability(0.1)
    }
}

impl Acceptance {
    /// Whether the map of a class counts, given the logits of all foreground classes and the number of the image's
    /// labels. The lower class wins a tie of ranks.
    ///
    /// ```
    /// use candle_wsss_baselines::accumulate::Acceptance;
    ///
    /// let logits = [2.0, -3.0, 1.0];
    /// assert!(Acceptance::Probability(0.1).accepts(&logits, 2, 2));
    /// assert!(!Acceptance::Probability(0.1).accepts(&logits, 1, 2));
    /// assert!(Acceptance::Ranked.accepts(&logits, 2, 2));
    /// assert!(!Acceptance::Ranked.accepts(&logits, 2, 1));
    /// ```
    pub fn accepts(self, logits: &[f32], class: usize, num_labels: usize) -> bool {
        let Some(&own) = logits.get(class) else { return false };
        match self {
            Self::Probability(least) => 1.0 / (1.0 + (-f64::from(own)).exp()) >= least,
            Self::Ranked => {
                let is_ahead = |(other, logit): (usize, &f32)| *logit > own || (*logit == own && other < class);
                logits.iter().enumerate().filter(|other| is_ahead(*other)).count() < num_labels
            }
        }
    }
}

/// Size of the image the network is given for its maps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttentionInput {
    /// The image as it is. The default, because it is the size the loader's crops are cut at; the one setting here that
    /// is not the released code's.
    #[default]
    Native,
    /// A square of this side, whatever the shape of the image, bilinear: 368 in the released code, which trains on such
    /// squares as well.
    Squashed(usize),
}

impl AttentionInput {
    /// Width and height the network is given for an image of this width and height.
    pub fn size(self, image: (usize, usize)) -> (usize, usize) {
        match self {
            Self::Native => image,
            Self::Squashed(side) => (side, side),
        }
    }
}

/// What the seeds of a comparison are made of when maps were accumulated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeedOrigin {
    /// The accumulated maps.
    #[default]
    Accumulated,
    /// The trained network, as without accumulation.
    Network,
}
