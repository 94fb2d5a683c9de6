//! Configuration. The defaults are what the released code does; its oddities are options with a name.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ops::DenseCrfConfig;
use crate::regularizer::ranges::{self, at_least_one, not_negative, positive, share};
use crate::seed::Refine;

/// Configuration of [`HscRegularizer`](super::HscRegularizer). The default is the released code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HscConfig {
    /// Scope of the terms, the memory and the parameters.
    pub name: String,
    /// Constant score of the background in the seed, against class maps normalised to `[0, 1)`.
    pub background_score: f64,
    /// Rows and columns at which both views are compared.
    pub grid: (usize, usize),
    /// Refinement of the pseudo labels that the region and the pixel level use.
    pub refine: Refine,
    /// Channels of the pixel map.
    pub pixel_dim: usize,
    /// Channels of the region map, which the region and the class level share.
    pub region_dim: usize,
    /// Learning rate of the region head.
    pub head_group: HeadGroup,
    /// Foreground against background.
    pub roi: RoiConfig,
    /// Class means against class prototypes.
    pub class: ClassConfig,
    /// Pixels against class prototypes.
    pub pixel: PixelConfig,
}

/// The region level. Its loss is `weight * Σ factor * term`; a term of factor 0 is not computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoiConfig {
    /// Whether the level takes part.
    pub enabled: bool,
    /// Weight of the level.
    pub weight: f64,
    /// Factor of background against foreground within a view.
    pub intra: f64,
    /// Factor of background against foreground across the views (cross supervision).
    pub cross: f64,
    /// Factor of the foreground's distance to its momentum prototype.
    pub foreground: f64,
    /// Factor of the background's distance to its momentum prototype.
    pub background: f64,
    /// Share of the old prototype that stays, in `[0, 1]`.
    pub momentum: f64,
    /// Cosines are limited to this range before `-ln(1 - cos)`.
    pub cosine_range: (f64, f64),
    /// What features are normalised along before they are averaged.
    pub normalize_axis: NormalizeAxis,
    /// How the momentum prototypes are compared with.
    pub bank_rows: BankRows,
}

/// The class level. Its loss is `weight * Σ factor * term`; a term of factor 0 is not computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClassConfig {
    /// Whether the level takes part.
    pub enabled: bool,
    /// Weight of the level.
    pub weight: f64,
    /// Factor of the contrast with the prototypes of the same view.
    pub own: f64,
    /// Factor of the contrast with the prototypes of the other view (cross supervision).
    pub mutual: f64,
    /// Share of the old prototype that stays, in `[0, 1]`.
    pub momentum: f64,
    /// Temperature of the soft-max over classes.
    pub temperature: f64,
    /// Best pixels of the batch that make a class mean; all, when there are fewer.
    pub top_k: usize,
    /// Best pixels of the batch that move the class prototype.
    pub high_k: usize,
    /// When moved prototypes are seen.
    pub bank_order: BankOrder,
    /// The background's row of the bank.
    pub background_row: BackgroundRow,
}

/// The pixel level. Its loss is `weight * Σ factor * term`; a term of factor 0 is not computed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PixelConfig {
    /// Whether the level takes part.
    pub enabled: bool,
    /// Weight of the level.
    pub weight: f64,
    /// Factor of the contrast with the other view's prototypes (cross supervision).
    pub cross_prototype: f64,
    /// Factor of the contrast under the other view's labels (cross supervision).
    pub cross_label: f64,
    /// Factor of the contrast within a view.
    pub intra: f64,
    /// Factor of the contrast with the momentum prototypes.
    pub memory: f64,
    /// Share of the old prototype that stays, in `[0, 1]`.
    pub momentum: f64,
    /// Temperature of the soft-max over classes.
    pub temperature: f64,
    /// A prototype is made of `pixels of an image / this` pixels of the batch.
    pub pixels_per_prototype_divisor: usize,
    /// What ranks the pixels of the background's prototype.
    pub background_prototype: BackgroundPrototype,
    /// Prototypes of classes that no image of the batch has.
    pub absent_classes: AbsentClasses,
    /// How the momentum prototypes are compared with.
    pub bank_rows: BankRows,
}

/// Learning rate of the region head's convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadGroup {
    /// That of pretrained layers. Released: the head sits in a container that the grouping overlooks.
    Pretrained,
    /// That of new layers, which they are.
    FromScratch,
}

/// Axis of the region level's normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NormalizeAxis {
    /// Along the width of the map. Released: the last axis of a channels-first map.
    Width,
    /// Along the channels, which makes every pixel a unit vector.
    Channel,
}

/// When the class level sees the prototypes it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BankOrder {
    /// Classes go in ascending order, and each sees those before it already moved. Released.
    WithinStep,
    /// All classes see the bank as it was.
    AfterStep,
}

/// The background's row of the class bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundRow {
    /// A negative that is never moved, so it stays random. Released.
    Never,
    /// Moved by the best background pixels after the step.
    Updated,
    /// No negative.
    Excluded,
}

/// What ranks the pixels of the background's prototype.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackgroundPrototype {
    /// The constant background score: all pixels tie, and the first of the batch win. Released.
    ConstantScore,
    /// One minus the largest score among the image's classes.
    OneMinusMax,
}

/// Pixel prototypes of classes that no image of the batch has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentClasses {
    /// Negatives like all others, and they move their momentum prototype. Released.
    Included,
    /// Neither.
    Excluded,
}

/// How rows of a bank are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BankRows {
    /// As they are: random rows at first, of any length. Released.
    Raw,
    /// As unit vectors.
    Unit,
}

impl HscConfig {
    /// The released code with its evident slips put right: channels normalised, a background prototype made of
    /// background, absent classes and the never-moved background row left out, new layers trained as new.
    ///
    /// These are the intended variants, not measured ones.
    pub fn recommended() -> Self {
        let defaults = Self::default();
        Self {
            head_group: HeadGroup::FromScratch,
            roi: RoiConfig { normalize_axis: NormalizeAxis::Channel, ..defaults.roi },
            class: ClassConfig { background_row: BackgroundRow::Excluded, ..defaults.class },
            pixel: PixelConfig {
                background_prototype: BackgroundPrototype::OneMinusMax,
                absent_classes: AbsentClasses::Excluded,
                ..defaults.pixel
            },
            ..defaults
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the first one out of its range.
    pub fn validate(&self) -> Result<()> {
        ranges::name(&self.name)?;
        not_negative("background_score", self.background_score)?;
        at_least_one("grid", self.grid.0.min(self.grid.1))?;
        at_least_one("pixel_dim", self.pixel_dim)?;
        at_least_one("region_dim", self.region_dim)?;
        self.refine.validate().map_err(|err| match err {
            Error::Config { field, reason } => Error::config(format!("refine.{field}"), reason),
            err => err,
        })?;
        self.roi.validate()?;
        self.class.validate()?;
        self.pixel.validate()
    }
}

impl RoiConfig {
    fn validate(&self) -> Result<()> {
        let factors = [
            ("roi.weight", self.weight),
            ("roi.intra", self.intra),
            ("roi.cross", self.cross),
            ("roi.foreground", self.foreground),
            ("roi.background", self.background),
        ];
        factors.into_iter().try_for_each(|(field, value)| not_negative(field, value))?;
        share("roi.momentum", self.momentum)?;
        let (low, high) = self.cosine_range;
        // Written so that NaN fails.
        if !(-1.0 <= low && low <= high && high < 1.0) {
            let reason = format!("must be ascending, from -1 to below 1, is ({low}, {high})");
            return Err(Error::config("roi.cosine_range", reason));
        }
        Ok(())
    }
}

impl ClassConfig {
    fn validate(&self) -> Result<()> {
        let factors = [("class.weight", self.weight), ("class.own", self.own), ("class.mutual", self.mutual)];
        factors.into_iter().try_for_each(|(field, value)| not_negative(field, value))?;
        share("class.momentum", self.momentum)?;
        positive("class.temperature", self.temperature)?;
        at_least_one("class.top_k", self.top_k)?;
        at_least_one("class.high_k", self.high_k)
    }
}

impl PixelConfig {
    fn validate(&self) -> Result<()> {
        let factors = [
            ("pixel.weight", self.weight),
            ("pixel.cross_prototype", self.cross_prototype),
            ("pixel.cross_label", self.cross_label),
            ("pixel.intra", self.intra),
            ("pixel.memory", self.memory),
        ];
        factors.into_iter().try_for_each(|(field, value)| not_negative(field, value))?;
        share("pixel.momentum", self.momentum)?;
        positive("pixel.temperature", self.temperature)?;
        at_least_one("pixel.pixels_per_prototype_divisor", self.pixels_per_prototype_divisor)
    }
}

impl Default for HscConfig {
    fn default() -> Self {
        Self {
            name: "hsc".to_string(),
            background_score: 0.10,
            grid: (16, 16),
            refine: Refine::DenseCrf(DenseCrfConfig::hsc_labels()),
            pixel_dim: 128,
            region_dim: 256,
            head_group: HeadGroup::Pretrained,
            roi: RoiConfig::default(),
            class: ClassConfig::default(),
            pixel: PixelConfig::default(),
        }
    }
}

impl Default for RoiConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            weight: 0.1,
            intra: 1.0,
            cross: 1.0,
            foreground: 1.0,
            background: 1.0,
            momentum: 0.5,
            cosine_range: (0.0005, 0.9995),
            normalize_axis: NormalizeAxis::Width,
            bank_rows: BankRows::Raw,
        }
    }
}

impl Default for ClassConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            weight: 0.1,
            // Half each, because a term is a mean of the two views and the released code averages all four.
            own: 0.5,
            mutual: 0.5,
            momentum: 0.5,
            temperature: 0.1,
            top_k: 128,
            high_k: 16,
            bank_order: BankOrder::WithinStep,
            background_row: BackgroundRow::Never,
        }
    }
}

impl Default for PixelConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            weight: 0.1,
            cross_prototype: 1.0,
            cross_label: 1.0,
            intra: 1.0,
            memory: 1.0,
            momentum: 0.5,
            temperature: 0.1,
            pixels_per_prototype_divisor: 16,
            background_prototype: BackgroundPrototype::ConstantScore,
            absent_classes: AbsentClasses::Included,
            bank_rows: BankRows::Raw,
        }
    }
}
