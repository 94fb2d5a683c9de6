//! Counts of ground truth against prediction, and the measures made of them.

use candle_wsss::Error;
use serde::{Deserialize, Serialize};

use crate::data::VOID;
use crate::error::Result;

/// Added to the union by the released code, so that an absent class divides 0 by it.
const UNION_EPSILON: f64 = 1e-10;

/// What becomes of a class that neither the ground truth nor the prediction has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AbsentClass {
    /// It counts as an `IoU` of 0, and 1e-10 is added to every union: the released code of SEAM, PPC and HSC.
    #[default]
    AsZero,
    /// It is left out of the mean: the released code of EPS, and the usual convention.
    Skipped,
}

/// Pixel counts by ground truth and prediction, pooled over images. Labels follow the palette: background 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confusion {
    num_classes: usize,
    counts: Vec<u64>,
}

/// What the `IoU` of every class is made of: the margins and the diagonal of a [`Confusion`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassCounts {
    true_positive: Vec<u64>,
    ground_truth: Vec<u64>,
    predicted: Vec<u64>,
}

impl Confusion {
    /// No pixel yet, of so many classes with the background.
    pub fn new(num_classes: usize) -> Self {
        Self { num_classes, counts: vec![0; num_classes * num_classes] }
    }

    /// Classes with the background.
    pub fn num_classes(&self) -> usize {
        self.num_classes
    }

    /// Pixels by `(ground truth, prediction)`, row-major.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The same as one row per ground truth.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        self.counts.chunks_exact(self.num_classes.max(1)).map(<[u64]>::to_vec).collect()
    }

    pub(crate) fn add_count(&mut self, ground_truth: usize, predicted: usize, pixels: u64) {
        self.counts[ground_truth * self.num_classes + predicted] += pixels;
    }

    /// Adds the pixels of one image. Void pixels of the ground truth are ignored, whatever was predicted there.
    ///
    /// # Errors
    /// When the sizes differ or a value is no class; nothing is added then.
    pub fn add(&mut self, ground_truth: &[u8], predicted: &[u8]) -> Result<()> {
        expect_pixels("prediction", predicted.len(), ground_truth.len())?;
        let mut image = Self::new(self.num_classes);
        for (&truth, &label) in ground_truth.iter().zip(predicted) {
            if truth == VOID {
                continue;
            }
            expect_class("ground truth", truth, self.num_classes)?;
            expect_class("prediction", label, self.num_classes)?;
            image.add_count(usize::from(truth), usize::from(label), 1);
        }
        self.merge(&image)
    }

    /// Adds another confusion.
    ///
    /// # Errors
    /// When it is of another number of classes.
    pub fn merge(&mut self, other: &Self) -> Result<()> {
        if self.num_classes != other.num_classes {
            let reason = format!("expected {} classes, got {}", self.num_classes, other.num_classes);
            return Err(Error::value("confusion", reason).into());
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        Ok(())
    }

    /// The margins and the diagonal.
    pub fn class_counts(&self) -> ClassCounts {
        let classes = 0..self.num_classes;
        let at = |truth: usize, label: usize| self.counts[truth * self.num_classes + label];
        ClassCounts {
            true_positive: classes.clone().map(|class| at(class, class)).collect(),
            ground_truth: classes.clone().map(|truth| classes.clone().map(|label| at(truth, label)).sum()).collect(),
            predicted: classes.clone().map(|label| classes.clone().map(|truth| at(truth, label)).sum()).collect(),
        }
    }

    /// `IoU` of every class; see [`ClassCounts::ious`].
    pub fn ious(&self, absent: AbsentClass) -> Vec<Option<f64>> {
        self.class_counts().ious(absent)
    }

    /// mIoU; see [`ClassCounts::mean_iou`].
    pub fn mean_iou(&self, absent: AbsentClass) -> Option<f64> {
        self.class_counts().mean_iou(absent)
    }

    /// Share of the pixels predicted right; `None` without pixels.
    pub fn pixel_accuracy(&self) -> Option<f64> {
        let pixels: u64 = self.counts.iter().sum();
        let right: u64 = (0..self.num_classes).map(|class| self.counts[class * self.num_classes + class]).sum();
        (pixels > 0).then(|| right as f64 / pixels as f64)
    }
}

impl ClassCounts {
    /// No pixel yet, of so many classes with the background.
    pub fn new(num_classes: usize) -> Self {
        let zeros = vec![0; num_classes];
        Self { true_positive: zeros.clone(), ground_truth: zeros.clone(), predicted: zeros }
    }

    /// Classes with the background.
    pub fn num_classes(&self) -> usize {
        self.ground_truth.len()
    }

    /// Pixels of every class that were found.
    pub fn true_positive(&self) -> &[u64] {
        &self.true_positive
    }

    /// Pixels of every class in the ground truth.
    pub fn ground_truth(&self) -> &[u64] {
        &self.ground_truth
    }

    /// Pixels predicted as every class, void ones not counted.
    pub fn predicted(&self) -> &[u64] {
        &self.predicted
    }

    /// Adds the counts of another image, of as many classes.
    pub(crate) fn add(&mut self, other: &Self) {
        let add = |sum: &mut [u64], more: &[u64]| sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
        add(&mut self.true_positive, &other.true_positive);
        add(&mut self.ground_truth, &other.ground_truth);
        add(&mut self.predicted, &other.predicted);
    }

    /// `IoU_c = TP_c / (T_c + P_c - TP_c)`, in `[0, 1]`. `None` is a class with neither ground truth nor prediction;
    /// under [`AbsentClass::AsZero`] there is none.
    pub fn ious(&self, absent: AbsentClass) -> Vec<Option<f64>> {
        (0..self.num_classes())
            .map(|class| {
                let found = self.true_positive[class];
                let union = self.ground_truth[class] + self.predicted[class] - found;
                match absent {
                    AbsentClass::AsZero => Some(found as f64 / (union as f64 + UNION_EPSILON)),
                    AbsentClass::Skipped => (union > 0).then(|| found as f64 / union as f64),
                }
            })
            .collect()
    }

    /// Mean of the `IoU`s that are defined; `None` when none is.
    pub fn mean_iou(&self, absent: AbsentClass) -> Option<f64> {
        let defined: Vec<f64> = self.ious(absent).into_iter().flatten().collect();
        (!defined.is_empty()).then(|| defined.iter().sum::<f64>() / defined.len() as f64)
    }

    /// Share of the pixels of every class that were found; `None` without ground truth.
    pub fn recalls(&self) -> Vec<Option<f64>> {
        shares(&self.true_positive, &self.ground_truth)
    }

    /// Share of the pixels predicted as every class that are right; `None` without prediction.
    pub fn precisions(&self) -> Vec<Option<f64>> {
        shares(&self.true_positive, &self.predicted)
    }
}

fn shares(part: &[u64], whole: &[u64]) -> Vec<Option<f64>> {
    part.iter().zip(whole).map(|(part, whole)| (*whole > 0).then(|| *part as f64 / *whole as f64)).collect()
}

pub(crate) fn expect_pixels(what: &str, got: usize, expected: usize) -> Result<()> {
    if got == expected {
        return Ok(());
    }
    Err(Error::value(what, format!("expected {expected} pixels as in the ground truth, got {got}")).into())
}

pub(crate) fn expect_class(what: &str, value: u8, num_classes: usize) -> Result<()> {
    if usize::from(value) < num_classes {
        return Ok(());
    }
    let void = if what == "ground truth" { format!(", or {VOID} for void") } else { String::new() };
    Err(Error::value(what, format!("labels must be below {num_classes}{void}, one is {value}")).into())
}
