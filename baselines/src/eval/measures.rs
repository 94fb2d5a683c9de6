//! All that is said of one confusion.

use serde::{Deserialize, Serialize};

use crate::eval::confusion::{AbsentClass, ClassCounts, Confusion};

/// What one class is measured by. Shares are in `[0, 1]`, `None` where there is nothing to divide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassMeasures {
    /// Intersection over union; of an absent class as the convention has it.
    pub iou: Option<f64>,
    /// Share of the pixels predicted as this class that are right.
    pub precision: Option<f64>,
    /// Share of the pixels of this class that were found.
    pub recall: Option<f64>,
    /// Pixels in the ground truth.
    pub ground_truth: u64,
    /// Pixels predicted, void ones not counted.
    pub predicted: u64,
    /// Pixels found.
    pub true_positive: u64,
}

/// What a prediction is measured by. Shares are in `[0, 1]`, `None` where there is nothing to divide by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Measures {
    /// Mean of the `IoU` by the convention asked for.
    pub mean_iou: Option<f64>,
    /// Mean over all classes, absent ones as 0: the convention of SEAM's released code.
    pub mean_iou_absent_as_zero: Option<f64>,
    /// Mean over the classes that are there: the convention of EPS's released code.
    pub mean_iou_absent_skipped: Option<f64>,
    /// Mean of the `IoU` without the background, by the convention asked for.
    pub foreground_iou: Option<f64>,
    /// Mean precision of the classes that were predicted, the background among them.
    pub precision: Option<f64>,
    /// Mean recall of the classes that are in the ground truth, the background among them.
    pub recall: Option<f64>,
    /// Mean over foreground classes of pixels wrongly predicted by pixels found, those with none found left out.
    pub over_activation: Option<f64>,
    /// Mean over foreground classes of pixels missed by pixels found, those with none found left out.
    pub under_activation: Option<f64>,
    /// Share of the pixels labelled right.
    pub pixel_accuracy: Option<f64>,
    /// Every class, background first.
    pub classes: Vec<ClassMeasures>,
}

impl Measures {
    /// Of pooled counts.
    pub fn of(confusion: &Confusion, absent: AbsentClass) -> Self {
        let counts = confusion.class_counts();
        let ious = counts.ious(absent);
        let (precisions, recalls) = (counts.precisions(), counts.recalls());
        let class = |class: usize| ClassMeasures {
            iou: ious[class],
            precision: precisions[class],
            recall: recalls[class],
            ground_truth: counts.ground_truth()[class],
            predicted: counts.predicted()[class],
            true_positive: counts.true_positive()[class],
        };
        Self {
            mean_iou: counts.mean_iou(absent),
            mean_iou_absent_as_zero: counts.mean_iou(AbsentClass::AsZero),
            mean_iou_absent_skipped: counts.mean_iou(AbsentClass::Skipped),
            foreground_iou: mean(ious.iter().skip(1).copied()),
            precision: mean(precisions.iter().copied()),
            recall: mean(recalls.iter().copied()),
            over_activation: activation(&counts, counts.predicted()),
            under_activation: activation(&counts, counts.ground_truth()),
            pixel_accuracy: confusion.pixel_accuracy(),
            classes: (0..confusion.num_classes()).map(class).collect(),
        }
    }

    /// Places of the classes in neither ground truth nor prediction.
    pub fn absent(&self) -> Vec<usize> {
        let is_absent = |class: &ClassMeasures| class.ground_truth + class.predicted == 0;
        self.classes.iter().enumerate().filter(|(_, class)| is_absent(class)).map(|(index, _)| index).collect()
    }
}

impl ClassMeasures {
    /// Pixels wrongly predicted by pixels found; `None` when none was found.
    pub fn over_activation(&self) -> Option<f64> {
        ratio(self.predicted - self.true_positive, self.true_positive)
    }

    /// Pixels missed by pixels found; `None` when none was found.
    pub fn under_activation(&self) -> Option<f64> {
        ratio(self.ground_truth - self.true_positive, self.true_positive)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

fn activation(counts: &ClassCounts, all: &[u64]) -> Option<f64> {
    let foreground = counts.true_positive().iter().zip(all).skip(1);
    mean(foreground.map(|(found, all)| ratio(all - found, *found)))
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}
