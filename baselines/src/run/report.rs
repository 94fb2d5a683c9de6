//! From trained and scored units to the report.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_wsss::SeededSampler;
use image::RgbImage;

use crate::data::color_map;
use crate::error::{Error, Result};
use crate::eval::{AbsentClass, ClassCounts, bootstrap_difference};
use crate::infer;
use crate::report::{
    Gallery, GalleryRow, LossCurve, Method, OmittedCount, Panel, Picture, PictureFormat, Protocol, Repeat, Report,
    ReportClass, draw_labels,
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
    pub(crate) weights: BTreeMap<String, f64>,
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

/// Puts the numbers, curves and pictures of a comparison together.
pub(crate) fn build_report(options: &CompareOptions<'_>, comparison: &Comparison) -> Result<Report> {
    let config = options.config;
    let palette = color_map();
    let mut classes = vec![ReportClass { name: "background".to_string(), color: palette[0] }];
    classes.extend(
        options
            .dataset
            .class_names()
            .iter()
            .zip(palette.iter().skip(1))
            .map(|(name, color)| ReportClass { name: name.clone(), color: *color }),
    );
    let mut report = Report {
        title: format!("Seeds of {}", titles(options).join(", ")),
        protocol: protocol(options),
        classes,
        thresholds: config.eval.thresholds.thresholds()?,
        methods: Vec::new(),
        galleries: galleries(options, comparison)?,
        config: config.to_toml()?,
        environment: environment(options, comparison),
        reproduce: vec![options.command.clone()],
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
    Ok(report)
}

fn titles(options: &CompareOptions<'_>) -> Vec<String> {
    options.methods.iter().map(|method| title(options, method)).collect()
}

fn protocol(options: &CompareOptions<'_>) -> Protocol {
    let root = options.dataset.images().root();
    let name = root.file_name().map_or_else(|| root.display().to_string(), |name| name.to_string_lossy().into_owned());
    Protocol {
        dataset: name,
        split: options.split.to_string(),
        num_images: options.dataset.len(),
        ground_truth: "SegmentationClass, void pixels (255) ignored".to_string(),
        stage: "seeds, trained with image-level labels of the same split".to_string(),
        threshold_rule: "best: the background score with the highest mIoU on the evaluated split, for each training"
            .to_string(),
        fixed_score: options.config.eval.background_score,
        absent_class: options.config.eval.absent_class,
        crf: "none".to_string(),
        scales: options.config.infer.scales.clone(),
        flip: options.config.infer.flip,
    }
}

fn environment(options: &CompareOptions<'_>, comparison: &Comparison) -> Vec<(String, String)> {
    let mut rows = vec![
        ("version".to_string(), env!("CARGO_PKG_VERSION").to_string()),
        ("device".to_string(), "CPU, float32".to_string()),
        ("trainings at a time".to_string(), options.jobs.to_string()),
    ];
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
            let weight = unit.weights.get(name).copied().unwrap_or(1.0);
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
        let gains = gains(options, first, last);
        let order = |sign: f64| -> Vec<usize> {
            let mut order: Vec<usize> = (0..gains.len()).collect();
            order.sort_by(|a, b| (sign * gains[*b]).total_cmp(&(sign * gains[*a])).then(a.cmp(b)));
            order.truncate(GALLERY_ROWS);
            order
        };
        for (word, sign) in [("gains most", 1.0), ("loses most", -1.0)] {
            galleries.push(gallery(
                options,
                &shown,
                format!("Where {} {word} over {}", last.title, first.title),
                "By mean IoU over the image's own classes and background, each method at its best score.".to_string(),
                &order(sign),
            )?);
        }
    }
    Ok(galleries)
}

fn gains(options: &CompareOptions<'_>, reference: &Unit, candidate: &Unit) -> Vec<f64> {
    let absent = options.config.eval.absent_class;
    let of = |unit: &Unit, image: usize| image_iou(unit, image, absent).unwrap_or(0.0);
    (0..options.dataset.len()).map(|image| of(candidate, image) - of(reference, image)).collect()
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
    let encode = |drawn: &RgbImage| Picture::encode(drawn, PICTURE_SIDE, PictureFormat::Png);
    let mask = dataset.mask(index)?;
    let mut panels = vec![
        Panel { picture: encode(&image)?, mean_iou: None },
        Panel { picture: encode(&draw_labels(&image, &mask.data, &palette)?)?, mean_iou: None },
    ];
    for unit in shown {
        let path = array_path(&unit.seeds, dataset.name(index));
        let maps = infer::read_seeds(&path)?;
        let best = unit.scores.curve.best(absent).map_or(options.config.eval.background_score, |best| best.threshold);
        let drawn = draw_labels(&image, &maps.labels(best as f32), &palette)
            .map_err(|err| Error::data(&path, err.to_string()))?;
        panels.push(Panel { picture: encode(&drawn)?, mean_iou: image_iou(unit, index, absent) });
    }
    let classes = dataset.labels(index).iter().map(|class| class + 1).collect();
    Ok(GalleryRow { id: dataset.name(index).to_string(), classes, panels })
}
