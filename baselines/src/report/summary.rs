//! The numbers of a report: spread over repeats, differences to the first method, and what to beware of.

use candle_wsss::Error;
use serde::Serialize;

use crate::error::Result;
use crate::eval::{BootstrapInterval, PairedDifference, Spread};
use crate::report::model::{Method, Protocol, Repeat, Report};
use crate::report::table::{Align, Table};

/// One line of the table of methods. Measures are in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodSummary {
    /// Name of the method.
    pub name: String,
    /// Number of trainings.
    pub repeats: usize,
    /// mIoU at each repeat's best background score.
    pub best: Option<Spread>,
    /// Background score of the best point of every repeat.
    pub best_thresholds: Vec<f64>,
    /// mIoU at the fixed background score.
    pub fixed: Option<Spread>,
    /// mIoU at scores chosen on other images.
    pub cross_fitted: Option<Spread>,
    /// Share of pixels labelled right at the best background score.
    pub pixel_accuracy: Option<Spread>,
    /// Difference of `best` to the first method, over repeats of the same seed; `None` for the first method itself.
    pub best_difference: Option<PairedDifference>,
    /// The same of `fixed`.
    pub fixed_difference: Option<PairedDifference>,
    /// Difference of `best` over resampled images.
    pub image_bootstrap: Option<BootstrapInterval>,
    /// Time of one training in seconds.
    pub training_seconds: Option<Spread>,
}

impl Report {
    /// Checks that all parts fit each other.
    ///
    /// # Errors
    /// Naming the part that does not.
    pub fn check(&self) -> Result<()> {
        let expect = |what: String, got: usize, expected: usize| -> Result<()> {
            if got == expected {
                return Ok(());
            }
            Err(Error::value(what, format!("expected {expected} values, got {got}")).into())
        };
        if self.methods.is_empty() {
            return Err(Error::value("report", "has no methods").into());
        }
        self.fixed_index()?;
        for method in &self.methods {
            for repeat in &method.repeats {
                let of = |what: &str| format!("{what} of method {}, seed {}", method.name, repeat.seed);
                expect(of("curve"), repeat.curve.len(), self.thresholds.len())?;
                expect(of("class IoU at best"), repeat.class_iou_at_best.len(), self.classes.len())?;
                expect(of("class IoU at fixed"), repeat.class_iou_at_fixed.len(), self.classes.len())?;
            }
        }
        for gallery in &self.galleries {
            for row in &gallery.rows {
                let what = format!("pictures of {} in gallery {}", row.id, gallery.title);
                expect(what, row.panels.len(), gallery.columns.len())?;
                if row.classes.iter().any(|class| *class >= self.classes.len()) {
                    let reason = format!("must be below {}, are {:?}", self.classes.len(), row.classes);
                    return Err(Error::value(format!("classes of {}", row.id), reason).into());
                }
            }
        }
        Ok(())
    }

    pub(crate) fn fixed_index(&self) -> Result<usize> {
        let score = self.protocol.fixed_score;
        let found = self.thresholds.iter().position(|threshold| *threshold as f32 == score as f32);
        found.ok_or_else(|| Error::value("fixed score", format!("{score} is not one of the thresholds")).into())
    }

    /// The table of methods as numbers.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn summaries(&self) -> Result<Vec<MethodSummary>> {
        self.check()?;
        let fixed = self.fixed_index()?;
        let reference = &self.methods[0];
        let summarize = |(index, method): (usize, &Method)| {
            let spread = |measure: &dyn Fn(&Repeat) -> Option<f64>| {
                Spread::of(&method.repeats.iter().filter_map(measure).collect::<Vec<_>>())
            };
            let best = |repeat: &Repeat| best_point(&repeat.curve).map(|(_, value)| value);
            let at_fixed = |repeat: &Repeat| repeat.curve[fixed];
            let difference = |measure: &dyn Fn(&Repeat) -> Option<f64>| {
                if index == 0 { None } else { difference(method, reference, measure) }
            };
            MethodSummary {
                name: method.name.clone(),
                repeats: method.repeats.len(),
                best: spread(&best),
                best_thresholds: self.best_thresholds(method),
                fixed: spread(&at_fixed),
                cross_fitted: spread(&|repeat| repeat.cross_fitted),
                pixel_accuracy: spread(&|repeat| repeat.pixel_accuracy_at_best),
                best_difference: difference(&best),
                fixed_difference: difference(&at_fixed),
                image_bootstrap: method.image_bootstrap,
                training_seconds: spread(&|repeat| repeat.training_seconds),
            }
        };
        Ok(self.methods.iter().enumerate().map(summarize).collect())
    }

    fn best_thresholds(&self, method: &Method) -> Vec<f64> {
        let best = |repeat: &Repeat| best_point(&repeat.curve).map(|(index, _)| self.thresholds[index]);
        method.repeats.iter().filter_map(best).collect()
    }

    /// The table of methods as text, in percent.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn methods_table(&self) -> Result<Table> {
        let fixed = format!("mIoU at {}", self.protocol.fixed_score);
        let summaries = self.summaries()?;
        // An empty column would only take room.
        let any = |has: &dyn Fn(&MethodSummary) -> bool| summaries.iter().any(has);
        let cross_fitted = any(&|summary| summary.cross_fitted.is_some());
        let over_images = any(&|summary| summary.image_bootstrap.is_some());
        let columns = [
            (true, "repeats"),
            (true, "mIoU at best"),
            (true, "best score"),
            (true, "difference"),
            (over_images, "over images"),
            (cross_fitted, "mIoU held out"),
            (true, &fixed),
            (true, "difference"),
            (true, "pixel accuracy"),
        ];
        let shown = columns.iter().filter(|(shown, _)| *shown).map(|(_, name)| (*name, Align::Right));
        let mut table = Table::new([("method", Align::Left)].into_iter().chain(shown));
        for summary in &summaries {
            let cells = [
                summary.repeats.to_string(),
                spread_cell(summary.best),
                range_cell(&summary.best_thresholds),
                difference_cell(summary.best_difference),
                interval_cell(summary.image_bootstrap),
                spread_cell(summary.cross_fitted),
                spread_cell(summary.fixed),
                difference_cell(summary.fixed_difference),
                spread_cell(summary.pixel_accuracy),
            ];
            let shown = cells.into_iter().zip(columns).filter(|(_, (shown, _))| *shown).map(|(cell, _)| cell);
            table.push([summary.name.clone()].into_iter().chain(shown));
        }
        Ok(table)
    }

    /// `IoU` of every class at the best background score, mean over repeats, in percent, with differences.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn classes_table(&self) -> Result<Table> {
        self.check()?;
        let names = self.methods.iter().enumerate().flat_map(|(index, method)| {
            let value = Some((method.name.as_str(), Align::Right));
            value.into_iter().chain((index > 0).then_some(("difference", Align::Right)))
        });
        let mut table = Table::new([("class", Align::Left)].into_iter().chain(names));
        let means: Vec<Vec<Option<f64>>> = self.methods.iter().map(|method| self.class_means(method)).collect();
        for (class, name) in self.classes.iter().enumerate() {
            let mut cells = vec![name.name.clone()];
            for (index, mean) in means.iter().enumerate() {
                cells.push(mean[class].map_or_else(String::new, percent));
                if index > 0 {
                    let difference = mean[class].zip(means[0][class]).map(|(value, reference)| value - reference);
                    cells.push(difference.map_or_else(String::new, signed_percent));
                }
            }
            table.push(cells);
        }
        Ok(table)
    }

    /// Mean over repeats of the `IoU` of every class at the best background score, where any repeat has one.
    pub(crate) fn class_means(&self, method: &Method) -> Vec<Option<f64>> {
        let values = |class: usize| {
            method.repeats.iter().filter_map(|repeat| repeat.class_iou_at_best[class]).collect::<Vec<f64>>()
        };
        (0..self.classes.len()).map(|class| Spread::of(&values(class)).map(|spread| spread.mean)).collect()
    }

    /// How long training took, method by method; `None` where nobody measured.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn training_times(&self) -> Result<Option<String>> {
        let time = |summary: &MethodSummary| {
            summary.training_seconds.map(|spread| format!("{} {}", summary.name, duration(spread.mean)))
        };
        let times: Vec<String> = self.summaries()?.iter().filter_map(time).collect();
        Ok((!times.is_empty()).then(|| format!("Mean time of a training: {}.", times.join("; "))))
    }

    /// What a reader of the numbers should know and could miss.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn cautions(&self) -> Result<Vec<String>> {
        let summaries = self.summaries()?;
        let mut cautions = vec![
            "The best score is chosen with the ground truth it is measured on; without ground truth, only a score fixed \
             beforehand can be used."
                .to_string(),
        ];
        if summaries.iter().any(|summary| summary.repeats < 2) {
            cautions.push(
                "A method was trained once only: how much another seed would change its number is unknown.".to_string(),
            );
        }
        let ends = [self.thresholds.first(), self.thresholds.last()];
        for summary in &summaries {
            if self.thresholds.len() > 1 && summary.best_thresholds.iter().any(|best| ends.contains(&Some(best))) {
                let name = &summary.name;
                cautions.push(format!("{name}: the best score lies at the end of the curve, the true best beyond it."));
            }
        }
        for summary in summaries.iter().skip(1) {
            let pairs = summary.best_difference.map_or(0, |difference| difference.count);
            if pairs < summary.repeats.max(summaries[0].repeats) {
                let name = &summary.name;
                cautions
                    .push(format!("{name}: {pairs} repeats share a seed with the reference; only they are paired."));
            }
            if summary.image_bootstrap.is_some_and(|interval| interval.lower <= 0.0 && interval.upper >= 0.0) {
                cautions.push(format!("{}: the interval over images holds 0.", summary.name));
            }
        }
        Ok(cautions)
    }
}

impl Protocol {
    /// The protocol in one line, to stand beside every number.
    pub fn line(&self) -> String {
        let scales: Vec<String> = self.scales.iter().map(f64::to_string).collect();
        let flip = if self.flip { " and mirrored" } else { "" };
        let versions = if scales.is_empty() { String::new() } else { format!(", scales {}{flip}", scales.join("/")) };
        format!(
            "{} on {} {}, {} images, ground truth {}, CRF: {}{versions}",
            self.stage, self.dataset, self.split, self.num_images, self.ground_truth, self.crf
        )
    }

    /// Fails unless numbers of the other protocol may be compared with numbers of this one.
    ///
    /// # Errors
    /// Naming the first part that differs.
    pub fn expect_same(&self, other: &Self) -> Result<()> {
        let parts = |protocol: &Self| {
            [
                ("data set", protocol.dataset.clone()),
                ("split", protocol.split.clone()),
                ("number of images", protocol.num_images.to_string()),
                ("ground truth", protocol.ground_truth.clone()),
                ("stage", protocol.stage.clone()),
                ("threshold rule", protocol.threshold_rule.clone()),
                ("fixed score", protocol.fixed_score.to_string()),
                ("absent classes", format!("{:?}", protocol.absent_class)),
                ("CRF", protocol.crf.clone()),
                ("scales", format!("{:?}", protocol.scales)),
                ("mirrored", protocol.flip.to_string()),
            ]
        };
        for ((name, expected), (_, got)) in parts(self).into_iter().zip(parts(other)) {
            if expected != got {
                return Err(Error::value(format!("protocol, {name}"), format!("expected {expected}, got {got}")).into());
            }
        }
        Ok(())
    }
}

/// Place and value of the first largest point.
pub(crate) fn best_point(curve: &[Option<f64>]) -> Option<(usize, f64)> {
    let mut best: Option<(usize, f64)> = None;
    for (index, value) in curve.iter().enumerate() {
        if let Some(value) = value.filter(|value| best.is_none_or(|(_, best)| *value > best)) {
            best = Some((index, value));
        }
    }
    best
}

/// Over the repeats whose seed the reference has too.
fn difference(
    method: &Method,
    reference: &Method,
    measure: &dyn Fn(&Repeat) -> Option<f64>,
) -> Option<PairedDifference> {
    let mut pairs = (Vec::new(), Vec::new());
    for repeat in &method.repeats {
        let partner = reference.repeats.iter().find(|partner| partner.seed == repeat.seed);
        if let Some((value, other)) = measure(repeat).zip(partner.and_then(measure)) {
            pairs.0.push(value);
            pairs.1.push(other);
        }
    }
    PairedDifference::of(&pairs.0, &pairs.1).ok()
}

pub(crate) fn percent(value: f64) -> String {
    format!("{:.2}", 100.0 * value)
}

pub(crate) fn signed_percent(value: f64) -> String {
    // A difference that rounds to 0 has no sign.
    let text = format!("{:+.2}", 100.0 * value);
    if matches!(text.as_str(), "-0.00" | "+0.00") { "0.00".to_string() } else { text }
}

fn spread_cell(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return String::new() };
    let deviation = spread.standard_deviation.map_or_else(String::new, |d| format!(" ± {}", percent(d)));
    format!("{}{deviation}", percent(spread.mean))
}

fn difference_cell(difference: Option<PairedDifference>) -> String {
    let Some(difference) = difference else { return String::new() };
    let error = difference.standard_error.map_or_else(String::new, |error| format!(" ± {}", percent(error)));
    format!("{}{error}", signed_percent(difference.mean))
}

fn interval_cell(interval: Option<BootstrapInterval>) -> String {
    let cell = |i: BootstrapInterval| format!("[{}, {}]", signed_percent(i.lower), signed_percent(i.upper));
    interval.map_or_else(String::new, cell)
}

fn duration(seconds: f64) -> String {
    match seconds {
        short if short < 120.0 => format!("{short:.0} s"),
        medium if medium < 7200.0 => format!("{:.0} min", medium / 60.0),
        long => format!("{:.1} h", long / 3600.0),
    }
}

fn range_cell(values: &[f64]) -> String {
    let lowest = values.iter().copied().reduce(f64::min);
    let highest = values.iter().copied().reduce(f64::max);
    match lowest.zip(highest) {
        None => String::new(),
        Some((low, high)) if low == high => low.to_string(),
        Some((low, high)) => format!("{low}–{high}"),
    }
}
