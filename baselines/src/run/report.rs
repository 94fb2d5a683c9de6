//! From trained and scored units to the report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_wsss::SeededSampler;

use crate::config::EvalConfig;
use crate::data::{Dataset, color_map};
use crate::error::Result;
use crate::eval::{AbsentClass, ClassCounts, Curve, bootstrap_difference};
use crate::infer;
use crate::report::{
    Gallery, GalleryRow, Layer, LossCurve, Method, OmittedCount, Pen, PictureFormat, Protocol, Repeat, Report,
    ReportClass, extremes,
};
use crate::run::compare::{CompareOptions, mean_times, title};
use crate::run::job::StepRecord;
use crate::run::seeds::{SeedScores, array_path};
use crate::train::StepTimes;

/// Longest side of a picture in the report, pixels.
const PICTURE_SIDE: u32 = 160;
/// Images per gallery.
const GALLERY_ROWS: usize = 6;
/// Points of a loss curve.
const CURVE_POINTS: usize = 60;

/// One method trained once and scored.
pub(crate) struct Unit {
    pub(crate) method: String,
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
pub(crate) struct Comparison {
    pub(crate) units: Vec<Unit>,
}

impl Comparison {
    fn of_method(&self, method: &str) -> Vec<&Unit> {
        let mut units: Vec<&Unit> = self.units.iter().filter(|unit| unit.method == method).collect();
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
pub(crate) fn build_report(options: &CompareOptions<'_>, comparison: &Comparison) -> Result<CompareOutcome> {
    let config = options.config;
    let mut report = Report {
        title: format!("Seeds of {}", titles(options).join(", ")),
        protocol: Protocol {
            stage: "seeds, trained with image-level labels of the same split".to_string(),
            scales: config.infer.scales.clone(),
            flip: config.infer.flip,
            ..protocol(&options.dataset, options.split, &config.eval)
        },
        classes: classes(&options.dataset),
        thresholds: config.eval.thresholds.thresholds()?,
        methods: Vec::new(),
        galleries: galleries(options, comparison)?,
        config: config.to_toml()?,
        environment: environment(),
        // With the place it was written to it would make equal results differ; the page has it.
        reproduce: Vec::new(),
    };
    let reference = at_best(&comparison.of_method(&options.methods[0]), config.eval.absent_class);
    for (index, method) in options.methods.iter().enumerate() {
        let units = comparison.of_method(method);
        let mut repeats = Vec::new();
        for unit in &units {
            repeats.push(repeat(unit, options)?);
        }
        let image_bootstrap = if index == 0 {
            None
        } else {
            let candidate = at_best(&units, config.eval.absent_class);
            let mut draws = SeededSampler::new(config.seed).child("bootstrap");
            let absent = config.eval.absent_class;
            Some(bootstrap_difference(&candidate, &reference, absent, config.eval.bootstrap, &mut draws)?)
        };
        report.methods.push(Method { name: title(options, method), repeats, image_bootstrap });
    }
    Ok(CompareOutcome { report, timings: timings(options, comparison) })
}

/// The report of seeds that came from anywhere: one method, one curve.
///
/// # Errors
/// When the fixed background score is not on the curve.
pub fn evaluation(dataset: &Dataset, split: &str, curve: &Curve, config: &EvalConfig) -> Result<Report> {
    let repeat = Repeat::from_curve(0, curve, config.background_score, config.absent_class)?;
    Ok(Report {
        title: "Seeds".to_string(),
        protocol: Protocol {
            threshold_rule: "best: the background score with the highest mIoU on the evaluated split".to_string(),
            stage: "seeds as given".to_string(),
            ..protocol(dataset, split, config)
        },
        classes: classes(dataset),
        thresholds: curve.thresholds().to_vec(),
        methods: vec![Method { name: "seeds".to_string(), repeats: vec![repeat], image_bootstrap: None }],
        ..Report::default()
    })
}

fn classes(dataset: &Dataset) -> Vec<ReportClass> {
    let names = std::iter::once("background").chain(dataset.class_names().iter().map(String::as_str));
    names.zip(color_map()).map(|(name, color)| ReportClass { name: name.to_string(), color }).collect()
}

fn titles(options: &CompareOptions<'_>) -> Vec<String> {
    options.methods.iter().map(|method| title(options, method)).collect()
}

fn protocol(dataset: &Dataset, split: &str, config: &EvalConfig) -> Protocol {
    let root = dataset.images().root();
    let name = root.file_name().map_or_else(|| root.display().to_string(), |name| name.to_string_lossy().into_owned());
    Protocol {
        dataset: name,
        split: split.to_string(),
        num_images: dataset.len(),
        ground_truth: "SegmentationClass, void pixels (255) ignored".to_string(),
        threshold_rule: "best: the background score with the highest mIoU on the evaluated split, per training"
            .to_string(),
        fixed_score: config.background_score,
        absent_class: config.absent_class,
        crf: "none".to_string(),
        ..Protocol::default()
    }
}

fn environment() -> Vec<(String, String)> {
    vec![
        ("version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("device".to_string(), "CPU, float32".to_string()),
    ]
}

/// What differs from run to run of the same comparison: times. Kept out of the numbers, which must not.
fn timings(options: &CompareOptions<'_>, comparison: &Comparison) -> Vec<(String, String)> {
    let mut rows = vec![("trainings at a time".to_string(), options.jobs.to_string())];
    for method in options.methods {
        let units = comparison.of_method(method);
        let name = title(options, method);
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

fn repeat(unit: &Unit, options: &CompareOptions<'_>) -> Result<Repeat> {
    let eval = &options.config.eval;
    let mut repeat = Repeat::from_curve(unit.seed, &unit.scores.curve, eval.background_score, eval.absent_class)?;
    repeat.losses = losses(unit);
    repeat.omitted = omitted(&unit.history);
    Ok(repeat)
}

// Means over equal parts of the training: single steps are too noisy to look at.
fn losses(unit: &Unit) -> Vec<LossCurve> {
    let mut names: Vec<&String> = unit.history.iter().flat_map(|record| record.terms.keys()).collect();
    names.sort();
    names.dedup();
    let part = unit.history.len().div_ceil(CURVE_POINTS).max(1);
    let mut curves: Vec<LossCurve> = names
        .into_iter()
        .map(|name| {
            let points = binned(&unit.history, part, |record| record.terms.get(name).copied());
            let weight = unit.history.iter().rev().find_map(|record| record.weights.get(name)).copied().unwrap_or(1.0);
            LossCurve { term: name.clone(), weight, points }
        })
        .collect();
    let points = binned(&unit.history, part, |record| record.total);
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

fn omitted(history: &[StepRecord]) -> Vec<OmittedCount> {
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

fn galleries(options: &CompareOptions<'_>, comparison: &Comparison) -> Result<Vec<Gallery>> {
    // Pictures show the first repeat of every method.
    let shown: Vec<&Unit> = options.methods.iter().filter_map(|m| comparison.of_method(m).first().copied()).collect();
    let images = options.dataset.len();
    let spaced: Vec<usize> = (0..GALLERY_ROWS.min(images)).map(|i| i * images / GALLERY_ROWS.min(images)).collect();
    let mut galleries = vec![gallery(
        options,
        &shown,
        "A look across the split".to_string(),
        "Images evenly spaced in the list.".to_string(),
        &spaced,
    )?];
    if let (Some(first), Some(last)) = (shown.first(), shown.last().filter(|_| shown.len() > 1)) {
        let (losses, gains) = extremes(&gains(options, first, last), GALLERY_ROWS);
        for (word, images) in [("gains most", gains), ("loses most", losses)] {
            let title = format!("Where {} {word} over {}", last.title, first.title);
            let note = "By mean IoU of the classes an image or its seeds have, each method at its best score.";
            galleries.push(gallery(options, &shown, title, note.to_string(), &images)?);
        }
    }
    Ok(galleries)
}

fn gains(options: &CompareOptions<'_>, reference: &Unit, candidate: &Unit) -> Vec<Option<f64>> {
    let absent = options.config.eval.absent_class;
    let gain = |image| Some(image_iou(candidate, image, absent)? - image_iou(reference, image, absent)?);
    (0..options.dataset.len()).map(gain).collect()
}

// Over the classes the image or its seeds have, whatever the convention for whole splits.
fn image_iou(unit: &Unit, image: usize, absent: AbsentClass) -> Option<f64> {
    let index = unit.scores.curve.best(absent)?.index;
    unit.scores.images.get(image)?.class_counts(index)?.mean_iou(AbsentClass::Skipped)
}

fn gallery(
    options: &CompareOptions<'_>,
    shown: &[&Unit],
    title: String,
    note: String,
    images: &[usize],
) -> Result<Gallery> {
    let mut columns = vec!["image".to_string(), "ground truth".to_string()];
    columns.extend(shown.iter().map(|unit| unit.title.clone()));
    let rows = images.iter().map(|image| row(options, shown, *image)).collect::<Result<_>>()?;
    Ok(Gallery { title, note, columns, rows })
}

fn row(options: &CompareOptions<'_>, shown: &[&Unit], index: usize) -> Result<GalleryRow> {
    let dataset = &options.dataset;
    let absent = options.config.eval.absent_class;
    let palette = color_map();
    let image = dataset.image(index)?;
    let mask = dataset.mask(index)?;
    let mut labels = Vec::new();
    for unit in shown {
        let maps = infer::read_seeds(&array_path(&unit.seeds, dataset.name(index)))?;
        let best = unit.scores.curve.best(absent).map_or(options.config.eval.background_score, |best| best.threshold);
        labels.push((maps.labels(best as f32), image_iou(unit, index, absent)));
    }
    let mut layers = vec![Layer::Image, Layer::Labels { labels: &mask.data, mean_iou: None }];
    layers.extend(labels.iter().map(|(labels, mean_iou)| Layer::Labels { labels, mean_iou: *mean_iou }));
    let classes: Vec<usize> = dataset.labels(index).iter().map(|class| class + 1).collect();
    let pen = Pen { palette: &palette, max_side: PICTURE_SIDE, format: PictureFormat::Png };
    GalleryRow::draw(dataset.name(index), &classes, &image, &layers, pen)
}
