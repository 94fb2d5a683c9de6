//! The region level: foreground against background, each also close to its momentum prototype.

use candle_core::Tensor;

use super::{BankRows, Level, NormalizeAxis, RoiConfig};
use crate::contrast::{alignment, pair_dissimilarity};
use crate::error::{Error, Result};
use crate::label::ClassLayout;
use crate::memory::PrototypeBank;
use crate::objective::LossTerms;
use crate::ops::unit;
use crate::prototype::region_means;
use crate::view::Pair;

// Rows of the bank.
const BACKGROUND: usize = 0;
const FOREGROUND: usize = 1;

// The released code's, for counts and for the norm of a region vector.
const REGION_EPSILON: f64 = 1e-5;
const NORMALIZE_EPSILON: f64 = 1e-12;

/// A unit vector per image for each of its two regions; 0 for a region without pixels.
#[derive(Clone, Debug)]
pub struct RegionVectors {
    /// `(N, D)`.
    pub background: Tensor,
    /// `(N, D)`: all classes but the background.
    pub foreground: Tensor,
}

/// `unit(Σ_region f / (count + ε))` with `f` normalised as configured.
///
/// # Shapes
/// `features (N, D, h, w)`, `labels (N, h, w)` of `u32`.
///
/// # Errors
/// When the shapes differ.
pub fn region_vectors(
    features: &Tensor,
    labels: &Tensor,
    layout: ClassLayout,
    config: &RoiConfig,
) -> Result<RegionVectors> {
    let axis = match config.normalize_axis {
        NormalizeAxis::Width => 3,
        NormalizeAxis::Channel => 1,
    };
    let features = unit(features, axis, NORMALIZE_EPSILON)?;
    let background = layout.background() as u32;
    let regions = [labels.eq(background)?, labels.ne(background)?];
    let means = region_means(&features, &regions, REGION_EPSILON)?;
    Ok(RegionVectors {
        background: unit(&means[BACKGROUND], 1, REGION_EPSILON)?,
        foreground: unit(&means[FOREGROUND], 1, REGION_EPSILON)?,
    })
}

/// With `b_v`, `f_v` the region vectors of view `v`, `B_v`, `F_v` the bank's rows and
/// `S(a, b) = mean_ij -ln(1 - clamp(a_i·b_j))` over all pairs of images:
///
/// * `intra = [S(b_1, f_1) + S(b_2, f_2)] / 2`, `cross = [S(b_1, f_2) + S(b_2, f_1)] / 2`;
/// * `foreground = mean_v mean |F_v - f_v|`, `background = mean_v mean |B_v - b_v|`.
///
/// After the step, each bank moves towards the mean over images of its view's vectors.
///
/// # Shapes
/// `features (N, D, h, w)`, `labels (N, h, w)` of `u32`, banks `(2, D)`: background, foreground.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// RSC of HSC (IJCAI 2023), as released.
pub fn roi_level(
    features: &Pair<Tensor>,
    labels: &Pair<Tensor>,
    layout: ClassLayout,
    banks: &Pair<PrototypeBank>,
    config: &RoiConfig,
) -> Result<Level> {
    let vectors = features.as_ref().zip(labels.as_ref()).try_map(|(f, l)| region_vectors(f, l, layout, config))?;
    let backgrounds = vectors.as_ref().map(|v| &v.background);
    let foregrounds = vectors.as_ref().map(|v| &v.foreground);
    let dissimilarity = |foregrounds: Pair<&Tensor>| -> Result<Tensor> {
        backgrounds.zip(foregrounds).try_map(|(b, f)| pair_dissimilarity(b, f, config.cosine_range))?.mean()
    };
    let to_prototype = |regions: Pair<&Tensor>, row: usize| -> Result<Tensor> {
        let rows = banks.as_ref().try_map(|bank| Ok::<_, Error>(prototypes(bank, config.bank_rows)?.get(row)?))?;
        regions.zip(rows).try_map(|(region, row)| alignment(region, &row))?.mean()
    };
    let mut terms = LossTerms::default();
    if config.intra > 0.0 {
        terms.push("intra", config.weight * config.intra, dissimilarity(foregrounds)?)?;
    }
    if config.cross > 0.0 {
        terms.push("cross", config.weight * config.cross, dissimilarity(foregrounds.swapped())?)?;
    }
    if config.foreground > 0.0 {
        let value = to_prototype(foregrounds, FOREGROUND)?;
        terms.push("foreground", config.weight * config.foreground, value)?;
    }
    if config.background > 0.0 {
        let value = to_prototype(backgrounds, BACKGROUND)?;
        terms.push("background", config.weight * config.background, value)?;
    }
    let banks = banks.as_ref().zip(vectors.as_ref()).try_map(|(bank, vectors)| {
        let fresh = Tensor::stack(&[vectors.background.mean(0)?, vectors.foreground.mean(0)?], 0)?;
        bank.moved(&fresh, config.momentum)
    })?;
    Ok(Level { terms, banks })
}

/// Rows of a bank, as the configuration compares with them.
pub(super) fn prototypes(bank: &PrototypeBank, rows: BankRows) -> Result<Tensor> {
    match rows {
        BankRows::Raw => Ok(bank.rows().clone()),
        BankRows::Unit => unit(bank.rows(), 1, NORMALIZE_EPSILON),
    }
}
