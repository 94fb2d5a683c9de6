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
        // Of so many pixels that 32 bits hold them.
        for (truth, labels) in ground_truth.chunks(1 << 30).zip(predicted.chunks(1 << 30)) {
            image.add_part(truth, labels)?;
        }
        self.merge(&image)
    }

    // Counts pixels by both values, whatever they are, and looks at the counts: checking every pixel would cost more
    // than counting it.
    fn add_part(&mut self, ground_truth: &[u8], predicted: &[u8]) -> Result<()> {
        let rows = TruthRows::new(self.num_classes);
        // In turns into two tables: neighbours are mostly alike, and a count has to be written before it can be raised
        // again.
        let mut table = vec![[0u32; 2]; rows.len() * LABELS];
        let at = |truth: u8, label: u8| rows.of(truth) * LABELS + usize::from(label);
        let (truth_pairs, truth_rest) = ground_truth.as_chunks::<2>();
        let (label_pairs, label_rest) = predicted.as_chunks::<2>();
        for ([truth, next_truth], [label, next_label]) in truth_pairs.iter().zip(label_pairs) {
            table[at(*truth, *label)][0] += 1;
            table[at(*next_truth, *next_label)][1] += 1;
        }
        for (truth, label) in truth_rest.iter().zip(label_rest) {
            table[at(*truth, *label)][0] += 1;
        }
        let is_used = |row: usize| table[row * LABELS..][..LABELS].iter().any(|count| *count != [0; 2]);
        rows.expect_classes(ground_truth, is_used)?;
        for (truth, row) in table.chunks_exact(LABELS).take(self.num_classes).enumerate() {
            for (label, [count, more]) in (0u8..=u8::MAX).zip(row).filter(|(_, count)| **count != [0; 2]) {
                expect_class("prediction", label, self.num_classes)?;
                self.add_count(truth, usize::from(label), u64::from(*count) + u64::from(*more));
            }
        }
        Ok(())
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

    /// Adds pixels of a class: found, in the ground truth, predicted.
    pub(crate) fn add_class(&mut self, class: usize, [true_positive, ground_truth, predicted]: [u64; 3]) {
        self.true_positive[class] += true_positive;
        self.ground_truth[class] += ground_truth;
        self.predicted[class] += predicted;
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

/// Values of 8 bits.
const LABELS: usize = 256;

/// Rows to count pixels in by their ground truth: one for every class, one for void, one for what is neither.
pub(crate) struct TruthRows {
    rows: [u16; LABELS],
    num_classes: usize,
}

impl TruthRows {
    pub(crate) fn new(num_classes: usize) -> Self {
        let mut rows = [0; LABELS];
        for (row, value) in rows.iter_mut().zip(0u8..=VOID) {
            let place = match usize::from(value) {
                class if class < num_classes => class,
                _ if value == VOID => num_classes,
                _ => num_classes + 1,
            };
            // Far below the limit of 16 bits.
            *row = place as u16;
        }
        Self { rows, num_classes }
    }

    /// Rows there are.
    pub(crate) fn len(&self) -> usize {
        self.num_classes + 2
    }

    #[inline]
    pub(crate) fn of(&self, value: u8) -> usize {
        usize::from(self.rows[usize::from(value)])
    }

    /// Fails when there are pixels in the last row.
    pub(crate) fn expect_classes(&self, ground_truth: &[u8], is_used: impl Fn(usize) -> bool) -> Result<()> {
        let last = self.num_classes + 1;
        if !is_used(last) {
            return Ok(());
        }
        let bad = ground_truth.iter().find(|value| self.of(**value) == last);
        bad.map_or(Ok(()), |value| expect_class("ground truth", *value, self.num_classes))
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
