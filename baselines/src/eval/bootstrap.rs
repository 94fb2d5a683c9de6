//! How much a number owes to the choice of images: images drawn anew, with replacement.

use candle_wsss::{Error, Sampler};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::eval::confusion::{AbsentClass, ClassCounts};

/// Resampled splits held at a time: with thousands of images all of them would take hundreds of megabytes.
const AT_A_TIME: usize = 64;

/// The most resampled splits: far more than any interval needs.
const MAX_RESAMPLES: usize = 1_000_000;

/// How the bootstrap over images is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BootstrapConfig {
    /// Number of resampled splits, from 1 to a million.
    pub resamples: usize,
    /// Coverage of the interval, in `(0, 1)`.
    pub level: f64,
}

impl Default for BootstrapConfig {
    fn default() -> Self {
        Self { resamples: 2000, level: 0.95 }
    }
}

impl BootstrapConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MAX_RESAMPLES).contains(&self.resamples) {
            let reason = match self.resamples {
                0 => "must be at least 1, is 0".to_string(),
                resamples => format!("must be at most {MAX_RESAMPLES}, is {resamples}"),
            };
            return Err(Error::config("bootstrap.resamples", reason).into());
        }
        if !(self.level > 0.0 && self.level < 1.0) {
            return Err(Error::config("bootstrap.level", format!("must be in (0, 1), is {}", self.level)).into());
        }
        Ok(())
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

/// mIoU of one method, with a percentile interval over resampled images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// mIoU on the split itself, in `[0, 1]`.
    pub value: f64,
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

/// Draws images with replacement and pools their counts: how much of the mIoU could be owed to the choice of images.
///
/// The counts of an image are at a background score chosen before; the interval does not hold what choosing it on
/// other images would change, nor the spread between trainings.
///
/// # Errors
/// When the configuration is out of range, there are no images, they are not of the same classes, or no mIoU is
/// defined.
pub fn bootstrap_mean_iou(
    images: &[ClassCounts],
    absent: AbsentClass,
    config: BootstrapConfig,
    sampler: &mut dyn Sampler,
) -> Result<Interval> {
    let pool = Pool::new(images, images.len())?;
    let measure = |copies: &[u32]| pool.mean_iou(copies, absent);
    let Resampled { on_split, lower, upper } = resample(images.len(), config, sampler, &measure)?;
    let (level, resamples) = (config.level, config.resamples);
    Ok(Interval { value: on_split, lower, upper, level, resamples, images: images.len() })
}

/// Draws images with replacement, the same for both methods, and pools their counts: how much of the difference could
/// be owed to the choice of images.
///
/// Each method is given as `[repeat][image]`; its mIoU is averaged over the repeats. The interval tells nothing of
/// the spread between trainings, for which see [`PairedDifference`](crate::eval::PairedDifference).
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
    let images = reference.first().filter(|_| !candidate.is_empty()).map(Vec::len);
    let images = images.ok_or_else(|| Error::value("bootstrap", "a method without repeats or images"))?;
    let pools = |method: &[Vec<ClassCounts>]| method.iter().map(|of| Pool::new(of, images)).collect::<Result<Vec<_>>>();
    let (reference, candidate) = (pools(reference)?, pools(candidate)?);
    let classes = reference[0].num_classes;
    if let Some(other) = candidate.iter().chain(&reference).find(|pool| pool.num_classes != classes) {
        let reason = format!("expected {classes} classes in every image, got {}", other.num_classes);
        return Err(Error::value("bootstrap", reason).into());
    }
    let mean = |method: &[Pool], copies: &[u32]| -> Option<f64> {
        let ious: Option<Vec<f64>> = method.iter().map(|pool| pool.mean_iou(copies, absent)).collect();
        Some(ious?.iter().sum::<f64>() / method.len() as f64)
    };
    let measure = |copies: &[u32]| Some(mean(&candidate, copies)? - mean(&reference, copies)?);
    let Resampled { on_split, lower, upper } = resample(images, config, sampler, &measure)?;
    let (level, resamples) = (config.level, config.resamples);
    Ok(BootstrapInterval { difference: on_split, lower, upper, level, resamples, images })
}

struct Resampled {
    on_split: f64,
    lower: f64,
    upper: f64,
}

// `measure` takes how many copies of every image there are.
fn resample(
    images: usize,
    config: BootstrapConfig,
    sampler: &mut dyn Sampler,
    measure: &(dyn Fn(&[u32]) -> Option<f64> + Sync),
) -> Result<Resampled> {
    config.validate()?;
    let undefined = || Error::value("bootstrap", "no image has a pixel with ground truth");
    let on_split = measure(&vec![1; images]).ok_or_else(undefined)?;
    let mut values = Vec::with_capacity(config.resamples);
    let mut left = config.resamples;
    while left > 0 {
        let draws = (0..left.min(AT_A_TIME)).map(|_| copies(images, sampler)).collect::<Result<Vec<_>>>()?;
        left -= draws.len();
        values.extend(draws.par_iter().map(|copies| measure(copies)).collect::<Vec<_>>());
    }
    // A draw of images without ground truth has no value.
    let mut values: Vec<f64> = values.into_iter().flatten().collect();
    if values.is_empty() {
        return Err(undefined().into());
    }
    values.sort_by(f64::total_cmp);
    let tail = (1.0 - config.level) / 2.0;
    Ok(Resampled { on_split, lower: quantile(&values, tail), upper: quantile(&values, 1.0 - tail) })
}

fn copies(images: usize, sampler: &mut dyn Sampler) -> Result<Vec<u32>> {
    let mut copies = vec![0; images];
    for uniform in sampler.uniform(images)? {
        // Truncation picks each image with equal probability; the bound guards against rounding up.
        copies[((uniform * images as f64) as usize).min(images - 1)] += 1;
    }
    Ok(copies)
}

/// Counts of images, of each only the classes it has: an image has three of twenty-one.
struct Pool {
    num_classes: usize,
    /// Where the cells of an image end.
    ends: Vec<usize>,
    cells: Vec<Cell>,
}

struct Cell {
    class: usize,
    true_positive: u64,
    ground_truth: u64,
    predicted: u64,
}

impl Pool {
    fn new(images: &[ClassCounts], expected: usize) -> Result<Self> {
        let fail = |reason: String| Err(Error::value("bootstrap", reason).into());
        if images.len() != expected {
            return fail(format!("expected {expected} images in every repeat, got {}", images.len()));
        }
        let Some(num_classes) = images.first().map(ClassCounts::num_classes) else {
            return fail("a method without repeats or images".to_string());
        };
        let mut pool = Self { num_classes, ends: Vec::with_capacity(images.len()), cells: Vec::new() };
        for image in images {
            if image.num_classes() != num_classes {
                return fail(format!("expected {num_classes} classes in every image, got {}", image.num_classes()));
            }
            let cell = |class: usize| Cell {
                class,
                true_positive: image.true_positive()[class],
                ground_truth: image.ground_truth()[class],
                predicted: image.predicted()[class],
            };
            pool.cells.extend((0..num_classes).map(cell).filter(|cell| cell.ground_truth + cell.predicted > 0));
            pool.ends.push(pool.cells.len());
        }
        Ok(pool)
    }

    fn mean_iou(&self, copies: &[u32], absent: AbsentClass) -> Option<f64> {
        let mut pooled = ClassCounts::new(self.num_classes);
        let mut start = 0;
        for (end, copies) in self.ends.iter().zip(copies) {
            if *copies > 0 {
                let copies = u64::from(*copies);
                for cell in &self.cells[start..*end] {
                    let counts = [cell.true_positive, cell.ground_truth, cell.predicted].map(|count| count * copies);
                    pooled.add_class(cell.class, counts);
                }
            }
            start = *end;
        }
        pooled.mean_iou(absent)
    }
}

/// Quantile of sorted values, linear between them.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(sorted.len() - 1);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}
