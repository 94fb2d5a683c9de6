//! The numbers as tables of comma-separated values, one observation a line, measures in `[0, 1]`.

use candle_wsss::Error;
use csv::Writer;

use crate::error::Result;
use crate::eval::ClassMeasures;
use crate::report::model::{Method, Repeat, Report};
use crate::report::number::{Number, ScoreRule};
use crate::report::summary::best_point;

/// What stands in the column of classes where a line is of all of them.
const MEAN: &str = "mean";

impl Report {
    /// Every number of an evaluation: a line per class and one for the mean. See [`Self::numbers_table`].
    ///
    /// # Errors
    /// When the report compares methods instead.
    pub fn numbers_csv(&self) -> Result<String> {
        let fail = || Error::value("report", "has methods to compare and no numbers of a single evaluation");
        let numbers = &self.evaluation().ok_or_else(fail)?.numbers;
        let mut lines = Lines::new(&[
            "rule",
            "background_score",
            "class",
            "iou",
            "lower",
            "upper",
            "precision",
            "recall",
            "over_activation",
            "under_activation",
            "ground_truth_pixels",
            "predicted_pixels",
            "true_positive_pixels",
        ])?;
        for number in numbers {
            for (class, measures) in self.classes.iter().zip(&number.measures.classes) {
                lines.push(&class_line(number, &class.name, measures))?;
            }
            lines.push(&mean_line(number))?;
        }
        lines.finish()
    }

    /// mIoU of every repeat at every background score: a line per score.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn curve_csv(&self) -> Result<String> {
        self.check()?;
        let mut lines = Lines::new(&["method", "seed", "background_score", "mean_iou"])?;
        for method in &self.methods {
            for repeat in &method.repeats {
                for (threshold, value) in self.thresholds.iter().zip(&repeat.curve) {
                    let seed = repeat.seed.to_string();
                    lines.push(&[method.name.clone(), seed, threshold.to_string(), cell(*value)])?;
                }
            }
        }
        lines.finish()
    }

    /// Every repeat of every method under every rule: a line for the mean and one per class, with the difference to the
    /// reference of the same seed.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn results_csv(&self) -> Result<String> {
        self.check()?;
        let mut lines = Lines::new(&[
            "baseline",
            "method",
            "name",
            "seed",
            "rule",
            "background_score",
            "class",
            "iou",
            "reference",
            "difference",
        ])?;
        for (index, method) in self.methods.iter().enumerate() {
            let reference = &self.methods[method.reference];
            for repeat in &method.repeats {
                let partner = reference.repeats.iter().find(|other| other.seed == repeat.seed);
                let partner = partner.filter(|_| index != method.reference);
                for rule in [ScoreRule::Best, ScoreRule::Fixed, ScoreRule::HeldOut] {
                    let other = partner.map(|other| self.values(reference, other, rule));
                    for (place, (class, iou)) in self.values(method, repeat, rule).into_iter().enumerate() {
                        let other = other.as_ref().and_then(|other| other.get(place)?.1);
                        let difference = iou.zip(other).map(|(value, other)| value - other);
                        lines.push(&[
                            method.baseline.clone(),
                            method.method.clone(),
                            method.name.clone(),
                            repeat.seed.to_string(),
                            rule.name().to_string(),
                            self.scores_cell(method, repeat, rule),
                            class,
                            cell(iou),
                            partner.map_or_else(String::new, |_| reference.name.clone()),
                            cell(difference),
                        ])?;
                    }
                }
            }
        }
        lines.finish()
    }

    // The mean first, then the classes that were kept; nothing where the rule was not evaluated.
    fn values(&self, method: &Method, repeat: &Repeat, rule: ScoreRule) -> Vec<(String, Option<f64>)> {
        let (mean, classes) = match rule {
            ScoreRule::Best => (best_point(&repeat.curve).map(|(_, value)| value), &repeat.class_iou_at_best),
            ScoreRule::Fixed => (self.at_fixed(method, repeat), &repeat.class_iou_at_fixed),
            ScoreRule::HeldOut => (repeat.cross_fitted, &repeat.class_iou_cross_fitted),
            ScoreRule::LabelMaps => (None, &repeat.class_iou_at_best),
        };
        if mean.is_none() {
            return Vec::new();
        }
        let names = self.classes.iter().map(|class| class.name.clone());
        [(MEAN.to_string(), mean)].into_iter().chain(names.zip(classes.iter().copied())).collect()
    }

    fn scores_cell(&self, method: &Method, repeat: &Repeat, rule: ScoreRule) -> String {
        let scores = match rule {
            ScoreRule::Best => best_point(&repeat.curve).map(|(at, _)| self.thresholds[at]).into_iter().collect(),
            ScoreRule::Fixed => vec![self.protocol.fixed_score_of(&method.baseline)],
            ScoreRule::HeldOut => repeat.cross_fitted_scores.clone(),
            ScoreRule::LabelMaps => Vec::new(),
        };
        joined(&scores)
    }
}

fn class_line(number: &Number, name: &str, class: &ClassMeasures) -> [String; 13] {
    [
        number.rule.name().to_string(),
        joined(&number.scores),
        name.to_string(),
        cell(class.iou),
        String::new(),
        String::new(),
        cell(class.precision),
        cell(class.recall),
        cell(class.over_activation()),
        cell(class.under_activation()),
        class.ground_truth.to_string(),
        class.predicted.to_string(),
        class.true_positive.to_string(),
    ]
}

fn mean_line(number: &Number) -> [String; 13] {
    let measures = &number.measures;
    let sum = |pick: fn(&ClassMeasures) -> u64| measures.classes.iter().map(pick).sum::<u64>().to_string();
    [
        number.rule.name().to_string(),
        joined(&number.scores),
        MEAN.to_string(),
        cell(measures.mean_iou),
        cell(number.interval.map(|interval| interval.lower)),
        cell(number.interval.map(|interval| interval.upper)),
        cell(measures.precision),
        cell(measures.recall),
        cell(measures.over_activation),
        cell(measures.under_activation),
        sum(|class| class.ground_truth),
        sum(|class| class.predicted),
        sum(|class| class.true_positive),
    ]
}

fn joined(scores: &[f64]) -> String {
    scores.iter().map(f64::to_string).collect::<Vec<_>>().join(" ")
}

fn cell(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| value.to_string())
}

/// Lines written to memory.
struct Lines(Writer<Vec<u8>>);

impl Lines {
    fn new(columns: &[&str]) -> Result<Self> {
        let mut lines = Self(Writer::from_writer(Vec::new()));
        lines.0.write_record(columns).map_err(|err| failed(&err))?;
        Ok(lines)
    }

    fn push(&mut self, cells: &[String]) -> Result<()> {
        self.0.write_record(cells).map_err(|err| failed(&err).into())
    }

    fn finish(self) -> Result<String> {
        let bytes = self.0.into_inner().map_err(|err| failed(&err))?;
        String::from_utf8(bytes).map_err(|err| failed(&err).into())
    }
}

fn failed(err: &dyn std::fmt::Display) -> Error {
    Error::value("CSV", err.to_string())
}
