//! Methods compared over repeats and over images.

use candle_wsss::{Error, Sampler};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::eval::confusion::{AbsentClass, ClassCounts};

/// Mean and spread of one measure over repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (divided by `count - 1`); `None` for a single value.
    pub standard_deviation: Option<f64>,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Of these values; `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        Some(Self { mean, standard_deviation, count })
    }
}

/// Mean difference of two methods over repeats that share their seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Mean of candidate minus reference.
    pub mean: f64,
    /// Standard deviation of the differences over the root of their number; `None` for a single pair.
    pub standard_error: Option<f64>,
    /// Number of pairs.
    pub count: usize,
}

impl PairedDifference {
    /// Of candidate minus reference, pair by pair.
    ///
    /// # Errors
    /// When the numbers of repeats differ or are 0.
    pub fn of(candidate: &[f64], reference: &[f64]) -> Result<Self> {
        if candidate.len() != reference.len() {
            let reason = format!("expected {} repeats as in the reference, got {}", reference.len(), candidate.len());
            return Err(Error::value("paired difference", reason).into());
        }
        let differences: Vec<f64> = candidate.iter().zip(reference).map(|(a, b)| a - b).collect();
        let spread = Spread::of(&differences).ok_or_else(|| Error::value("paired difference", "no repeats"))?;
        let standard_error = spread.standard_deviation.map(|deviation| deviation / (spread.count as f64).sqrt());
        Ok(Self { mean: spread.mean, standard_error, count: spread.count })
    }
}

/// How the bootstrap over images is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// Number of resampled splits.
    pub resamples: usize,
    /// Coverage of the interval, in `(0, 1)`.
    pub level: f64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: 2000, level: 0.95 }
    }
}

/// Difference of two methods' mIoU, with a percentile interval over resampled images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BootstrapInterval {
    /// Candidate minus reference on the split itself.
    pub difference: f64,
    /// Lower end of the interval.
    pub lower: f64,
    /// Upper end of the interval.
    pub upper: f64,
    /// Its coverage.
    pub level: f64,
    /// Number of resampled splits.
    pub resamples: usize,
    /// Number of images in each.
    pub images: usize,
}

/// Draws images with replacement, the same for both methods, and pools their counts: how much of the difference could
/// be owed to the choice of images.
///
/// Each method is given as `[repeat][image]`; its mIoU is averaged over the repeats. The interval tells nothing of
/// the spread between trainings, for which see [`PairedDifference`].
///
/// # Errors
/// When the configuration is out of range, a method has no repeats, there are no images, or the methods do not agree in
/// the number of images or classes.
pub fn bootstrap_difference(
    candidate: &[Vec<ClassCounts>],
    reference: &[Vec<ClassCounts>],
    absent: AbsentClass,
    config: BootstrapConfig,
    sampler: &mut dyn Sampler,
) -> Result<BootstrapInterval> {
    let images = check(candidate, reference, config)?;
    let difference = |picks: &[usize]| -> Option<f64> {
        Some(mean_over_repeats(candidate, picks, absent)? - mean_over_repeats(reference, picks, absent)?)
    };
    let undefined = || Error::value("bootstrap", "no image has a pixel with ground truth");
    let all: Vec<usize> = (0..images).collect();
    let on_split = difference(&all).ok_or_else(undefined)?;
    let mut draws = Vec::with_capacity(config.resamples);
    for _ in 0..config.resamples {
        let uniform = sampler.uniform(images)?;
        // Truncation picks each image with equal probability; the bound guards against rounding up.
        draws.push(uniform.iter().map(|u| ((u * images as f64) as usize).min(images - 1)).collect::<Vec<_>>());
    }
    let mut differences: Vec<f64> = draws.par_iter().filter_map(|picks| difference(picks)).collect();
    if differences.is_empty() {
        return Err(undefined().into());
    }
    differences.sort_by(f64::total_cmp);
    let tail = (1.0 - config.level) / 2.0;
    Ok(BootstrapInterval {
        difference: on_split,
        lower: quantile(&differences, tail),
        upper: quantile(&differences, 1.0 - tail),
        level: config.level,
        resamples: config.resamples,
        images,
    })
}

fn check(candidate: &[Vec<ClassCounts>], reference: &[Vec<ClassCounts>], config: BootstrapConfig) -> Result<usize> {
    if config.resamples == 0 {
        return Err(Error::config("bootstrap.resamples", "must be at least 1, is 0").into());
    }
    if !(config.level > 0.0 && config.level < 1.0) {
        return Err(Error::config("bootstrap.level", format!("must be in (0, 1), is {}", config.level)).into());
    }
    let first = reference.first().and_then(|repeat| repeat.first()).filter(|_| !candidate.is_empty());
    let first = first.ok_or_else(|| Error::value("bootstrap", "a method without repeats or images"))?;
    let images = reference[0].len();
    for repeat in candidate.iter().chain(reference) {
        if repeat.len() != images {
            let reason = format!("expected {images} images in every repeat, got {}", repeat.len());
            return Err(Error::value("bootstrap", reason).into());
        }
        let classes = first.num_classes();
        if let Some(other) = repeat.iter().find(|counts| counts.num_classes() != classes) {
            let reason = format!("expected {classes} classes in every image, got {}", other.num_classes());
            return Err(Error::value("bootstrap", reason).into());
        }
    }
    Ok(images)
}

fn mean_over_repeats(method: &[Vec<ClassCounts>], picks: &[usize], absent: AbsentClass) -> Option<f64> {
    let mut sum = 0.0;
    for repeat in method {
        let mut pooled = ClassCounts::new(repeat.first()?.num_classes());
        picks.iter().for_each(|image| pooled.add(&repeat[*image]));
        sum += pooled.mean_iou(absent)?;
    }
    Some(sum / method.len() as f64)
}

/// Quantile of sorted values, linear between them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}
