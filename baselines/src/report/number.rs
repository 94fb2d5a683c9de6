//! One evaluation in numbers: at the best score, at the fixed one, at scores chosen on other images.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::eval::{Interval, Measures};
use crate::report::model::{Repeat, Report};
use crate::report::summary::{percent, range_cell};
use crate::report::table::{Align, Table};

/// How the background score of a number was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScoreRule {
    /// With the ground truth it is measured on.
    #[default]
    Best,
    /// Beforehand.
    Fixed,
    /// For every image with the ground truth of other images.
    HeldOut,
    /// Not at all: label maps have none.
    LabelMaps,
}

/// What an evaluation gives under one rule.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Number {
    /// How the background score was chosen.
    pub rule: ScoreRule,
    /// Background scores: one, one of every part when held out, none for label maps.
    pub scores: Vec<f64>,
    /// mIoU over resampled images, each at the score it has here.
    pub interval: Option<Interval>,
    /// The numbers, all classes together and each.
    pub measures: Measures,
}

impl ScoreRule {
    /// In a table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Best => "best",
            Self::Fixed => "fixed",
            Self::HeldOut => "held out",
            Self::LabelMaps => "label maps",
        }
    }
}

impl Report {
    /// The evaluation, if that is all the report holds.
    pub(crate) fn evaluation(&self) -> Option<&Repeat> {
        match self.methods.as_slice() {
            [method] => method.repeats.first().filter(|repeat| method.repeats.len() == 1 && !repeat.numbers.is_empty()),
            _ => None,
        }
    }

    /// A line per number, in percent; `None` where methods are compared.
    pub fn numbers_table(&self) -> Option<Table> {
        let numbers = &self.evaluation()?.numbers;
        let level = numbers.iter().find_map(|number| number.interval).map_or(0.0, |interval| interval.level);
        let interval = format!("{} % interval", 100.0 * level);
        // Label maps have no score.
        let score = Some("score").filter(|_| !self.thresholds.is_empty());
        let columns = ["mIoU", &interval, "foreground", "precision", "recall", "pixel accuracy"];
        let columns = score.into_iter().chain(columns).map(|name| (name, Align::Right));
        let mut table = Table::new([("", Align::Left)].into_iter().chain(columns));
        for number in numbers {
            let Number { measures, scores, .. } = number;
            let shown = |value: Option<f64>| value.map_or_else(String::new, percent);
            let interval = number.interval.map(|i| format!("[{}, {}]", percent(i.lower), percent(i.upper)));
            let cells = [
                shown(measures.mean_iou),
                interval.unwrap_or_default(),
                shown(measures.foreground_iou),
                shown(measures.precision),
                shown(measures.recall),
                shown(measures.pixel_accuracy),
            ];
            let head = [number.rule.name().to_string()].into_iter().chain(score.map(|_| range_cell(scores)));
            table.push(head.chain(cells));
        }
        Some(table)
    }

    /// A line per class with its `IoU` under every rule, and what precision, recall and activation are under the first.
    pub(crate) fn class_numbers_table(&self) -> Option<Table> {
        let numbers = &self.evaluation()?.numbers;
        let first = &numbers.first()?.measures;
        let ious: Vec<String> = numbers.iter().map(|number| iou_heading(number.rule)).collect();
        let columns = ious.iter().map(String::as_str).chain(["precision", "recall", "over", "under"]);
        let columns = columns.map(|name| (name, Align::Right));
        let mut table = Table::new([("class", Align::Left)].into_iter().chain(columns));
        let shown = |value: Option<f64>| value.map_or_else(String::new, percent);
        let ratio = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
        for (index, class) in self.classes.iter().enumerate() {
            let of = |number: &Number| number.measures.classes.get(index).and_then(|class| class.iou);
            let measures = first.classes.get(index).copied().unwrap_or_default();
            let rest = [
                shown(measures.precision),
                shown(measures.recall),
                ratio(measures.over_activation()),
                ratio(measures.under_activation()),
            ];
            let cells = numbers.iter().map(|number| shown(of(number))).chain(rest);
            table.push([class.name.clone()].into_iter().chain(cells));
        }
        let means = [shown(first.precision), shown(first.recall)];
        let means = means.into_iter().chain([ratio(first.over_activation), ratio(first.under_activation)]);
        let cells = numbers.iter().map(|number| shown(number.measures.mean_iou)).chain(means);
        table.push(["mean".to_string()].into_iter().chain(cells));
        Some(table)
    }

    /// What the tables of [`Self::numbers_table`] do not say themselves.
    pub(crate) fn numbers_note(&self) -> Option<String> {
        let repeat = self.evaluation()?;
        let interval = repeat.numbers.iter().find_map(|number| number.interval)?;
        let scores = if self.thresholds.is_empty() { "" } else { ", at the background scores shown" };
        Some(format!(
            "Percent. Interval: {} images drawn anew {} times{scores}.\n\
             Foreground: mIoU without the background. Precision and recall: means over classes.",
            interval.images, interval.resamples
        ))
    }

    /// Notes on single evaluations.
    pub(crate) fn number_cautions(&self) -> Result<Vec<String>> {
        let Some(repeat) = self.evaluation() else { return Ok(Vec::new()) };
        let mut cautions = Vec::new();
        cautions.extend(self.absent_caution(repeat));
        if repeat.numbers.iter().any(|number| number.interval.is_some()) {
            cautions.push(
                "The interval is over images: how much another training would change a number it does not say."
                    .to_string(),
            );
        }
        Ok(cautions)
    }

    // Which classes make the two conventions differ, and what the other one gives.
    fn absent_caution(&self, repeat: &Repeat) -> Option<String> {
        let differs = |number: &&Number| {
            let Measures { mean_iou_absent_as_zero: zero, mean_iou_absent_skipped: skipped, .. } = &number.measures;
            !number.measures.absent().is_empty() && zero != skipped
        };
        let differing: Vec<&Number> = repeat.numbers.iter().filter(differs).collect();
        let first = differing.first()?;
        let name = |class: &usize| self.classes.get(*class).map(|class| class.name.as_str());
        let names: Vec<&str> = first.measures.absent().iter().filter_map(name).collect();
        let as_zero = self.protocol.absent_class == crate::eval::AbsentClass::AsZero;
        let other = |number: &&Number| {
            let Measures { mean_iou_absent_as_zero: zero, mean_iou_absent_skipped: skipped, .. } = &number.measures;
            let value = if as_zero { skipped } else { zero };
            let value = value.map_or_else(|| "-".to_string(), percent);
            if number.rule == ScoreRule::LabelMaps { value } else { format!("{} {value}", number.rule.name()) }
        };
        let others: Vec<String> = differing.iter().map(other).collect();
        let (done, instead) =
            if as_zero { ("counted as 0", "left out of the mean") } else { ("left out of the mean", "counted as 0") };
        Some(format!(
            "In neither ground truth nor prediction, {done}: {}. With such classes {instead}, mIoU is {}.",
            names.join(", "),
            others.join(", ")
        ))
    }
}

fn iou_heading(rule: ScoreRule) -> String {
    match rule {
        ScoreRule::LabelMaps => "IoU".to_string(),
        rule => format!("IoU {}", rule.name()),
    }
}
