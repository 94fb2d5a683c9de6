//! Configuration. The defaults are what the released code does; its oddities are options with a name.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::regularizer::hsc::{AbsentClasses, BackgroundPrototype};
use crate::regularizer::ranges::{self, at_least_one, not_negative, positive};

/// Configuration of [`PpcRegularizer`](super::PpcRegularizer). The default is the released code on SEAM.
///
/// The loss is `weight * Σ factor * term`; a term of factor 0 is not computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpcConfig {
    /// Scope of the terms and the parameters.
    pub name: String,
    /// Constant score of the background in the seed, against class maps normalised to `[0, 1)`. Positive: classes the
    /// image has not enter with 0.
    pub background_score: f64,
    /// Rows and columns at which both views are compared.
    pub grid: (usize, usize),
    /// Channels of the projection.
    pub projection_dim: usize,
    /// A prototype is made of `pixels of an image / this` pixels of the batch.
    pub pixels_per_prototype_divisor: usize,
    /// Temperature of the soft-max over classes.
    pub temperature: f64,
    /// Weight of all terms.
    pub weight: f64,
    /// Factor of the contrast with the other view's prototypes.
    pub cross_prototype: f64,
    /// Factor of the contrast under the other view's labels.
    pub cross_label: f64,
    /// Factor of the contrast within a view, the only one with mining and sampling.
    pub intra: f64,
    /// Prototypes a pixel is held against within a view.
    pub mining: PrototypeMining,
    /// Whether a pixel's own prototype takes part in that ranking.
    pub positive_rank: PositiveRank,
    /// Pixels that count within a view.
    pub sampling: PixelSampling,
    /// Classes with too few pixels to sample.
    pub small_classes: SmallClasses,
    /// What ranks the pixels of the background's prototype.
    pub background_prototype: BackgroundPrototype,
    /// Prototypes of classes that no image of the batch has.
    pub absent_classes: AbsentClasses,
}

/// Negatives of the contrast within a view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PrototypeMining {
    /// Prototypes are ranked by their similarity to the pixel, and those of these ranks are its
    /// negatives. Where there are fewer classes, the ranks there are; with none left the term is omitted. Released.
    SemiHard(SemiHardRanks),
    /// All other prototypes, as across the views.
    All,
}

/// Ranks of the semi-hard negatives: `dropped + 1 ..= last_rank`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SemiHardRanks {
    /// Most similar prototypes that are no negatives.
    pub dropped: usize,
    /// Last rank that is one, counted from 1.
    pub last_rank: usize,
}

/// The positive's part in the ranking of [`PrototypeMining::SemiHard`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PositiveRank {
    /// It takes a rank, and counts twice in the denominator when that rank is among the negatives. Released.
    Ranked,
    /// Only the other prototypes are ranked.
    Excluded,
}

/// Pixels of the contrast within a view.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum PixelSampling {
    /// Per class of `n` pixels, `⌊n/2⌋` drawn at random and `⌊n/2⌋` hard ones: of the `⌊hard_fraction n⌋` pixels least
    /// similar to their prototype, the more similar ones. A pixel may be both and counts twice. Classes weigh the same.
    /// Released.
    HardHalf {
        /// Share of a class's pixels that may be hard ones, in `[0.5, 1]`.
        hard_fraction: f64,
    },
    /// Every pixel of each class; classes weigh the same.
    EachClass,
    /// Every pixel; pixels weigh the same.
    All,
}

/// Classes of fewer than two pixels in [`PixelSampling::HardHalf`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SmallClasses {
    /// They add 0 and count in the mean over classes. Released.
    Counted,
    /// The mean is over the other classes.
    LeftOut,
}

impl PpcConfig {
    /// The released code on SEAM, which is the default.
    pub fn seam() -> Self {
        Self::default()
    }

    /// The released code on EPS.
    pub fn eps() -> Self {
        Self { background_score: 0.10, pixels_per_prototype_divisor: 16, ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        ranges::name(&self.name)?;
        positive("background_score", self.background_score)?;
        positive("temperature", self.temperature)?;
        not_negative("weight", self.weight)?;
        not_negative("cross_prototype", self.cross_prototype)?;
        not_negative("cross_label", self.cross_label)?;
        not_negative("intra", self.intra)?;
        at_least_one("grid", self.grid.0.min(self.grid.1))?;
        at_least_one("projection_dim", self.projection_dim)?;
        at_least_one("pixels_per_prototype_divisor", self.pixels_per_prototype_divisor)?;
        if let PrototypeMining::SemiHard(SemiHardRanks { dropped, last_rank }) = self.mining {
            let want = format!("must be above `dropped`, which is {dropped}");
            check("mining.semi_hard.last_rank", last_rank > dropped, &want, last_rank)?;
        }
        if let PixelSampling::HardHalf { hard_fraction } = self.sampling {
            let is_share = (0.5..=1.0).contains(&hard_fraction);
            check("sampling.hard_half.hard_fraction", is_share, "must be between 0.5 and 1", hard_fraction)?;
        }
        Ok(())
    }
}

fn check(field: &str, holds: bool, want: &str, value: impl std::fmt::Display) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(field, format!("{want}, is {value}"))) }
}

impl Default for SemiHardRanks {
    fn default() -> Self {
        Self { dropped: 3, last_rank: 13 }
    }
}

impl Default for PpcConfig {
    fn default() -> Self {
        Self {
            name: "ppc".to_string(),
            background_score: 0.20,
            grid: (16, 16),
            projection_dim: 128,
            pixels_per_prototype_divisor: 8,
            temperature: 0.1,
            weight: 0.1,
            cross_prototype: 1.0,
            cross_label: 1.0,
            intra: 1.0,
            mining: PrototypeMining::SemiHard(SemiHardRanks::default()),
            positive_rank: PositiveRank::Ranked,
            sampling: PixelSampling::HardHalf { hard_fraction: 0.6 },
            small_classes: SmallClasses::Counted,
            background_prototype: BackgroundPrototype::ConstantScore,
            absent_classes: AbsentClasses::Included,
        }
    }
}
