//! From trained and scored units to the report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_wsss::SeededSampler;

use crate::config::EvalConfig;
use crate::error::Result;
use crate::eval::{AbsentClass, ClassCounts, bootstrap_difference, cross_fit};
use crate::report::{BaselineProtocol, LossCurve, Method, OmittedCount, Protocol, Repeat, Report};
use crate::run::compare::{CompareOptions, mean_times};
use crate::run::job::StepRecord;
use crate::run::pictures::galleries;
use crate::run::plan::Plan;
use crate::run::protocol::{classes, protocol, without_held_out};
use crate::run::seeds::SeedScores;
use crate::train::StepTimes;

/// Points of a loss curve.
const CURVE_POINTS: usize = 60;

/// One method trained once and scored.
pub(crate) struct Unit {
    /// Index in the plan.
    pub(crate) cell: usize,
    pub(crate) title: String,
    pub(crate) repeat: usize,
    pub(crate) seed: u64,
    pub(crate) seeds: PathBuf,
    pub(crate) history: Vec<StepRecord>,
    pub(crate) scores: SeedScores,
    pub(crate) unreached: Vec<String>,
    pub(crate) times: StepTimes,
}

/// All units of a comparison.
pub(crate) struct Comparison<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) units: Vec<Unit>,
}

impl Comparison<'_> {
    /// The repeats of a cell.
    pub(crate) fn of_cell(&self, cell: usize) -> Vec<&Unit> {
        let mut units: Vec<&Unit> = self.units.iter().filter(|unit| unit.cell == cell).collect();
        units.sort_by_key(|unit| unit.repeat);
        units
    }
}

/// The outcome of a comparison.
#[derive(Debug)]
pub struct CompareOutcome {
    /// Numbers, curves and pictures; the same for the same seed.
    pub report: Report,
    /// Where the time went: name and value. Differs from run to run.
    pub timings: Vec<(String, String)>,
}

/// Puts the numbers, curves and pictures of a comparison together.
pub(crate) fn build_report(options: &CompareOptions<'_>, comparison: &Comparison<'_>) -> Result<CompareOutcome> {
    let plan = comparison.plan;
    // Everything but the fixed score and inference is the same under all baselines.
    let first = &plan.columns[0].config;
    let whole = if plan.columns.len() > 1 { options.config } else { first };
    let methods: Vec<Method> = (0..plan.cells.len()).map(|cell| method(comparison, cell)).collect::<Result<_>>()?;
    // It depends on the ground truth alone: all have the number or none.
    let is_held_out = methods.iter().flat_map(|method| &method.repeats).any(|repeat| repeat.cross_fitted.is_some());
    let protocol = protocol(&options.dataset, options.split, &first.eval);
    let protocol = if is_held_out { protocol } else { without_held_out(protocol) };
    let report = Report {
        title: headline(options, plan),
        protocol: Protocol {
            dataset: options.dataset_name.map_or(protocol.dataset, str::to_string),
            stage: stage(options),
            scales: first.infer.scales.clone(),
            flip: first.infer.flip,
            uses_saliency: plan.columns.iter().any(|column| column.config.loader.saliency),
            baselines: baseline_protocols(plan),
            ..protocol
        },
        classes: classes(&options.dataset),
        thresholds: first.eval.thresholds.thresholds()?,
        methods,
        left_out: plan.left_out.clone(),
        galleries: galleries(options, comparison)?,
        config: whole.to_toml()?,
        environment: environment(),
        // With the place it was written to it would make equal results differ; the page has it.
        reproduce: Vec::new(),
    };
    Ok(CompareOutcome { report, timings: timings(options, comparison) })
}

fn stage(options: &CompareOptions<'_>) -> String {
    let split = match options.training_split {
        same if same == options.split => "the same split".to_string(),
        other => format!("split {other}"),
    };
    format!("seeds, trained with image-level labels of {split}")
}

fn headline(options: &CompareOptions<'_>, plan: &Plan) -> String {
    if let [_] = plan.columns.as_slice() {
        let titles: Vec<&str> = plan.cells.iter().map(|cell| cell.title.as_str()).collect();
        return format!("Seeds of {}", titles.join(", "));
    }
    let names: Vec<&str> = plan.columns.iter().map(|column| column.name.as_str()).collect();
    format!("Seeds of {} with {}", names.join(", "), options.methods.join(", "))
}

// Only where there are several: else the protocol itself says it.
fn baseline_protocols(plan: &Plan) -> Vec<BaselineProtocol> {
    let several = plan.columns.iter().filter(|_| plan.columns.len() > 1);
    several
        .map(|column| BaselineProtocol {
            name: column.name.clone(),
            fixed_score: column.config.eval.background_score,
            scales: column.config.infer.scales.clone(),
            flip: column.config.infer.flip,
        })
        .collect()
}

fn method(comparison: &Comparison<'_>, cell: usize) -> Result<Method> {
    let (plan, units) = (comparison.plan, comparison.of_cell(cell));
    let (config, of, reference) = (plan.config(cell), &plan.cells[cell], plan.reference(cell));
    let mut repeats: Vec<Repeat> = units.iter().map(|unit| repeat(unit, &config.eval)).collect::<Result<_>>()?;
    // One is enough to look at, and all would make most of the file.
    repeats.iter_mut().skip(1).for_each(|repeat| repeat.confusion_at_best.clear());
    let absent = config.eval.absent_class;
    let bootstrap = || {
        let (candidate, reference) = (at_best(&units, absent), at_best(&comparison.of_cell(reference), absent));
        let mut draws = SeededSampler::new(config.seed).child("bootstrap");
        bootstrap_difference(&candidate, &reference, absent, config.eval.bootstrap, &mut draws)
    };
    let image_bootstrap = (reference != cell).then(bootstrap).transpose()?;
    let (baseline, method) = (plan.columns[of.column].name.clone(), of.method.clone());
    Ok(Method { name: of.title.clone(), baseline, method, reference, repeats, image_bootstrap })
}

fn environment() -> Vec<(String, String)> {
    vec![
        ("version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("device".to_string(), "CPU, float32".to_string()),
    ]
}

/// What differs from run to run of the same comparison: times. Kept out of the numbers, which must not.
fn timings(options: &CompareOptions<'_>, comparison: &Comparison<'_>) -> Vec<(String, String)> {
    let mut rows = vec![("trainings at a time".to_string(), options.jobs.to_string())];
    for (index, cell) in comparison.plan.cells.iter().enumerate() {
        let (name, units) = (&cell.title, comparison.of_cell(index));
        if let Some(times) = mean_times(&units) {
            let ms = |time: std::time::Duration| format!("{:.0}", time.as_secs_f64() * 1e3);
            rows.push((
                format!("{name}: ms per step"),
                format!(
                    "forward {}, loss terms {}, backward {}, update {}",
                    ms(times.forward),
                    ms(times.objective),
                    ms(times.backward),
                    ms(times.update)
                ),
            ));
        }
        if let Some(names) = units.first().map(|unit| &unit.unreached).filter(|names| !names.is_empty()) {
            rows.push((format!("{name}: no gradient in the first step"), names.join(", ")));
        }
    }
    rows
}

fn repeat(unit: &Unit, eval: &EvalConfig) -> Result<Repeat> {
    let mut repeat = Repeat::from_curve(unit.seed, &unit.scores.curve, eval.background_score, eval.absent_class)?;
    if unit.scores.images.len() >= eval.folds
        && let Some(fit) = cross_fit(unit.scores.sweep(), &unit.scores.images, eval.folds, eval.absent_class)?
    {
        repeat = repeat.with_cross_fit(&fit, eval.absent_class);
    }
    repeat.losses = losses(&unit.history);
    repeat.omitted = omitted(&unit.history);
    Ok(repeat)
}

// Means over equal parts of the training: single steps are too noisy to look at.
pub(crate) fn losses(history: &[StepRecord]) -> Vec<LossCurve> {
    let mut names: Vec<&String> = history.iter().flat_map(|record| record.terms.keys()).collect();
    names.sort();
    names.dedup();
    let part = history.len().div_ceil(CURVE_POINTS).max(1);
    let mut curves: Vec<LossCurve> = names
        .into_iter()
        .map(|name| {
            let points = binned(history, part, |record| record.terms.get(name).copied());
            let weight = history.iter().rev().find_map(|record| record.weights.get(name)).copied().unwrap_or(1.0);
            LossCurve { term: name.clone(), weight, points }
        })
        .collect();
    let points = binned(history, part, |record| record.total);
    curves.insert(0, LossCurve { term: "total".to_string(), weight: 1.0, points });
    curves
}

fn binned(history: &[StepRecord], part: usize, value: impl Fn(&StepRecord) -> Option<f64>) -> Vec<(usize, f64)> {
    history
        .chunks(part)
        .filter_map(|records| {
            let values: Vec<f64> = records.iter().filter_map(&value).collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            (!values.is_empty()).then_some((records[0].step, mean))
        })
        .collect()
}

pub(crate) fn omitted(history: &[StepRecord]) -> Vec<OmittedCount> {
    let mut counts: BTreeMap<(&String, &String), usize> = BTreeMap::new();
    for entry in history.iter().flat_map(|record| &record.omitted) {
        *counts.entry(entry).or_default() += 1;
    }
    counts
        .into_iter()
        .map(|((term, reason), steps)| OmittedCount { term: term.clone(), reason: reason.clone(), steps })
        .collect()
}

// [repeat][image], at the best score of each repeat.
fn at_best(units: &[&Unit], absent: AbsentClass) -> Vec<Vec<ClassCounts>> {
    units
        .iter()
        .map(|unit| {
            let index = unit.scores.curve.best(absent).map_or(0, |best| best.index);
            unit.scores.images.iter().filter_map(|image| image.class_counts(index)).collect()
        })
        .collect()
}
