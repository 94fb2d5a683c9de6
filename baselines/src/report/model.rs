//! What a report is made of: plain data, serializable, pictures apart.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::eval::{AbsentClass, BootstrapInterval, Confusion, CrossFit, Curve};
use crate::report::number::Number;
use crate::report::picture::Picture;

/// A comparison of methods on one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// Headline.
    pub title: String,
    /// What was measured, on what, and how.
    pub protocol: Protocol,
    /// Classes in the order of the palette, background first.
    pub classes: Vec<ReportClass>,
    /// Background scores of all curves, ascending.
    pub thresholds: Vec<f64>,
    /// Methods, baseline by baseline; each says which one its differences are to.
    pub methods: Vec<Method>,
    /// Combinations that were asked for and make no sense.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<LeftOut>,
    /// Pictures of single images.
    #[serde(skip)]
    pub galleries: Vec<Gallery>,
    /// The configuration as it was run.
    pub config: String,
    /// Versions, device, threads: name and value.
    pub environment: Vec<(String, String)>,
    /// Commands that lead to this report, one per line.
    pub reproduce: Vec<String>,
}

/// A method that cannot be had on a baseline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Name of the baseline.
    pub baseline: String,
    /// Name of the method.
    pub method: String,
    /// Why.
    pub reason: String,
}

/// A class as it is drawn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReportClass {
    /// Its name.
    pub name: String,
    /// Its colour in masks.
    pub color: [u8; 3],
}

/// What numbers must share to be compared.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Protocol {
    /// Name of the data set.
    pub dataset: String,
    /// Name of the split evaluated on.
    pub split: String,
    /// Images in it.
    pub num_images: usize,
    /// Where the ground truth comes from, and what is ignored in it.
    pub ground_truth: String,
    /// Where the image-level labels come from.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub labels: String,
    /// What was evaluated: seeds, refined seeds, masks of a segmentation network.
    pub stage: String,
    /// How the background score of the "best" column was chosen.
    pub threshold_rule: String,
    /// The background score of the "fixed" column, where `baselines` has no other.
    pub fixed_score: f64,
    /// How the background scores of the "held out" column were chosen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub held_out_rule: String,
    /// What becomes of classes in neither ground truth nor prediction.
    pub absent_class: AbsentClass,
    /// The post-processing by a random field, or that there was none.
    pub crf: String,
    /// Factors the images were resized by for inference.
    pub scales: Vec<f64>,
    /// Whether images were mirrored as well.
    pub flip: bool,
    /// The model the seeds are of, where that is known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub checkpoint: String,
    /// Whether saliency maps were used, as far as is known.
    #[serde(default)]
    pub uses_saliency: bool,
    /// What may differ from baseline to baseline, where there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub baselines: Vec<BaselineProtocol>,
}

/// What may differ between baselines whose methods stand side by side.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaselineProtocol {
    /// Name of the baseline.
    pub name: String,
    /// The background score of the "fixed" column.
    pub fixed_score: f64,
    /// Factors the images were resized by for inference.
    pub scales: Vec<f64>,
    /// Whether images were mirrored as well.
    pub flip: bool,
}

/// One method: a baseline, or a baseline with plug-ins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Method {
    /// Its name, the baseline's included.
    pub name: String,
    /// Name of the baseline: the column of the matrix.
    #[serde(default)]
    pub baseline: String,
    /// What is on the baseline: the row of the matrix.
    #[serde(default)]
    pub method: String,
    /// Index of the method that differences are to; its own where it is a reference itself.
    #[serde(default)]
    pub reference: usize,
    /// Trainings that differ by their seed only.
    pub repeats: Vec<Repeat>,
    /// Difference to the reference at the best score over resampled images, where it was drawn.
    pub image_bootstrap: Option<BootstrapInterval>,
}

/// One training and its evaluation. All measures are in `[0, 1]`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// Seed of the training.
    pub seed: u64,
    /// mIoU at every background score.
    pub curve: Vec<Option<f64>>,
    /// `IoU` of every class at the best background score.
    pub class_iou_at_best: Vec<Option<f64>>,
    /// `IoU` of every class at the fixed background score.
    pub class_iou_at_fixed: Vec<Option<f64>>,
    /// mIoU when every image's background score is chosen on other images, where it was computed.
    pub cross_fitted: Option<f64>,
    /// The background scores of it: that of every part, chosen on the other parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cross_fitted_scores: Vec<f64>,
    /// `IoU` of every class behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub class_iou_cross_fitted: Vec<Option<f64>>,
    /// Pixels by ground truth and prediction at the best background score, `num_classes` rows of `num_classes`; empty
    /// where it was not kept. Classes as in [`Report::classes`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confusion_at_best: Vec<Vec<u64>>,
    /// All measures under every rule with their intervals, where one evaluation is all there is. Without a curve, these
    /// are of label maps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub numbers: Vec<Number>,
    /// Share of the pixels labelled right at the best background score.
    pub pixel_accuracy_at_best: Option<f64>,
    /// Loss terms over training.
    pub losses: Vec<LossCurve>,
    /// Loss terms that were left out of steps where they had no meaning.
    pub omitted: Vec<OmittedCount>,
    /// Time training took, in seconds.
    pub training_seconds: Option<f64>,
}

/// A loss term over training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossCurve {
    /// Path of the term.
    pub term: String,
    /// Its factor in the total.
    pub weight: f64,
    /// Optimizer step, and the value there before the weight.
    pub points: Vec<(usize, f64)>,
}

/// How often a loss term was left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OmittedCount {
    /// Path of the term.
    pub term: String,
    /// Why.
    pub reason: String,
    /// Number of steps.
    pub steps: usize,
}

/// Pictures under one heading.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Gallery {
    /// Heading.
    pub title: String,
    /// How the images were chosen.
    pub note: String,
    /// Captions of the columns.
    pub columns: Vec<String>,
    /// One image each.
    pub rows: Vec<GalleryRow>,
}

/// One image and what was made of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GalleryRow {
    /// Name of the image.
    pub id: String,
    /// Indices of the classes it has in [`Report::classes`].
    pub classes: Vec<usize>,
    /// One picture per column.
    pub panels: Vec<Panel>,
}

/// One picture.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// The encoded picture.
    pub picture: Picture,
    /// mIoU of this image, in `[0, 1]`, where the picture shows a prediction.
    pub mean_iou: Option<f64>,
    /// What else is to be said of it; may be empty.
    pub caption: String,
}

impl Repeat {
    /// The measures of a curve; losses, time and the cross-fitted values are for the caller to add.
    ///
    /// # Errors
    /// When `fixed_score` is not one of the thresholds.
    pub fn from_curve(seed: u64, curve: &Curve, fixed_score: f64, absent: AbsentClass) -> Result<Self> {
        let fixed = &curve.points()[curve.index_of(fixed_score)?];
        let best = curve.best(absent).map(|best| &curve.points()[best.index]);
        Ok(Self {
            seed,
            curve: curve.mean_ious(absent),
            class_iou_at_best: best.map_or_else(|| vec![None; fixed.num_classes()], |best| best.ious(absent)),
            class_iou_at_fixed: fixed.ious(absent),
            confusion_at_best: best.map_or_else(Vec::new, Confusion::rows),
            pixel_accuracy_at_best: best.and_then(Confusion::pixel_accuracy),
            ..Self::default()
        })
    }
    /// Adds what cross-fitting gave.
    #[must_use]
    pub fn with_cross_fit(self, fit: &CrossFit, absent: AbsentClass) -> Self {
        Self {
            cross_fitted: fit.confusion.mean_iou(absent),
            cross_fitted_scores: fit.thresholds.clone(),
            class_iou_cross_fitted: fit.confusion.ious(absent),
            ..self
        }
    }
}
