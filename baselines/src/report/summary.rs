//! The numbers of a report: spread over repeats, differences to the reference, and what to beware of.

use candle_wsss::Error;
use serde::Serialize;

use crate::error::Result;
use crate::eval::{BootstrapInterval, PairedDifference, Spread};
use crate::report::model::{Method, Repeat, Report};
use crate::report::table::{Align, Table};

/// One line of the table of methods. Measures are in `[0, 1]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MethodSummary {
    /// Name of the method, the baseline's included.
    pub name: String,
    /// Name of the baseline.
    pub baseline: String,
    /// What is on the baseline.
    pub method: String,
    /// Index of the line that differences are to.
    pub reference: usize,
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
    /// Difference of `best` to the reference, over repeats of the same seed; `None` for a reference itself.
    pub best_difference: Option<PairedDifference>,
    /// The same of `fixed`.
    pub fixed_difference: Option<PairedDifference>,
    /// The same of `cross_fitted`.
    pub cross_fitted_difference: Option<PairedDifference>,
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
        for method in &self.methods {
            // Label maps have no background score.
            if !self.thresholds.is_empty() {
                self.fixed_index(method)?;
            }
            if method.reference >= self.methods.len() {
                let reason = format!("must be below {}, is {}", self.methods.len(), method.reference);
                return Err(Error::value(format!("reference of method {}", method.name), reason).into());
            }
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

    /// mIoU of a repeat at the fixed score of its method; `None` for label maps.
    pub(crate) fn at_fixed(&self, method: &Method, repeat: &Repeat) -> Option<f64> {
        repeat.curve.get(self.fixed_index(method).ok()?).copied().flatten()
    }

    fn fixed_index(&self, method: &Method) -> Result<usize> {
        let score = self.protocol.fixed_score_of(&method.baseline);
        let found = self.thresholds.iter().position(|threshold| *threshold as f32 == score as f32);
        found.ok_or_else(|| Error::value("fixed score", format!("{score} is not one of the thresholds")).into())
    }

    /// The table of methods as numbers.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn summaries(&self) -> Result<Vec<MethodSummary>> {
        self.check()?;
        let summarize = |(index, method): (usize, &Method)| -> Result<MethodSummary> {
            let reference = &self.methods[method.reference];
            let spread = |measure: &dyn Fn(&Repeat) -> Option<f64>| {
                Spread::of(&method.repeats.iter().filter_map(measure).collect::<Vec<_>>())
            };
            let at_fixed = |repeat: &Repeat| self.at_fixed(method, repeat);
            let difference = |measure: &dyn Fn(&Repeat) -> Option<f64>| {
                if index == method.reference { None } else { difference(method, reference, measure) }
            };
            Ok(MethodSummary {
                name: method.name.clone(),
                baseline: method.baseline.clone(),
                method: method.method.clone(),
                reference: method.reference,
                repeats: method.repeats.len(),
                best: spread(&best_value),
                best_thresholds: self.best_thresholds(method),
                fixed: spread(&at_fixed),
                cross_fitted: spread(&|repeat| repeat.cross_fitted),
                pixel_accuracy: spread(&|repeat| repeat.pixel_accuracy_at_best),
                best_difference: difference(&best_value),
                fixed_difference: difference(&at_fixed),
                cross_fitted_difference: difference(&|repeat| repeat.cross_fitted),
                image_bootstrap: method.image_bootstrap,
                training_seconds: spread(&|repeat| repeat.training_seconds),
            })
        };
        self.methods.iter().enumerate().map(summarize).collect()
    }

    fn best_thresholds(&self, method: &Method) -> Vec<f64> {
        let best = |repeat: &Repeat| best_point(&repeat.curve).map(|(index, _)| self.thresholds[index]);
        method.repeats.iter().filter_map(best).collect()
    }

    /// `IoU` of every class at the best background score, mean over repeats, in percent, with differences.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn classes_table(&self) -> Result<Table> {
        self.check()?;
        Ok(self.classes_table_of(&(0..self.methods.len()).collect::<Vec<_>>()))
    }

    /// The same of some of the methods.
    pub(crate) fn classes_table_of(&self, methods: &[usize]) -> Table {
        let compared = |index: usize| self.methods[index].reference != index;
        let names = methods.iter().flat_map(|index| {
            let value = Some((self.methods[*index].name.as_str(), Align::Right));
            value.into_iter().chain(compared(*index).then_some(("difference", Align::Right)))
        });
        let mut table = Table::new([("class", Align::Left)].into_iter().chain(names));
        let means: Vec<Vec<Option<f64>>> = self.methods.iter().map(|method| self.class_means(method)).collect();
        for (class, name) in self.classes.iter().enumerate() {
            let mut cells = vec![name.name.clone()];
            for index in methods {
                let (mean, reference) = (means[*index][class], means[self.methods[*index].reference][class]);
                cells.push(mean.map_or_else(String::new, percent));
                if compared(*index) {
                    let difference = mean.zip(reference).map(|(value, reference)| value - reference);
                    cells.push(difference.map_or_else(String::new, signed_percent));
                }
            }
            table.push(cells);
        }
        table
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

/// mIoU at the best score, or of label maps, which have none.
fn best_value(repeat: &Repeat) -> Option<f64> {
    let of_label_maps = || repeat.numbers.first().filter(|_| repeat.curve.is_empty())?.measures.mean_iou;
    best_point(&repeat.curve).map(|(_, value)| value).or_else(of_label_maps)
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

pub(crate) fn spread_cell(spread: Option<Spread>) -> String {
    let Some(spread) = spread else { return String::new() };
    let deviation = spread.standard_deviation.map_or_else(String::new, |d| format!(" ± {}", percent(d)));
    format!("{}{deviation}", percent(spread.mean))
}

pub(crate) fn difference_cell(difference: Option<PairedDifference>) -> String {
    let Some(difference) = difference else { return String::new() };
    let error = difference.standard_error.map_or_else(String::new, |error| format!(" ± {}", percent(error)));
    format!("{}{error}", signed_percent(difference.mean))
}

pub(crate) fn interval_cell(interval: Option<BootstrapInterval>) -> String {
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

pub(crate) fn range_cell(values: &[f64]) -> String {
    let lowest = values.iter().copied().reduce(f64::min);
    let highest = values.iter().copied().reduce(f64::max);
    match lowest.zip(highest) {
        None => String::new(),
        Some((low, high)) if low == high => low.to_string(),
        Some((low, high)) => format!("{low}–{high}"),
    }
}
