//! Seeds or label maps from anywhere, in numbers.

use std::path::{Path, PathBuf};

use candle_wsss::SeededSampler;
use rayon::prelude::*;

use crate::config::EvalConfig;
use crate::data::{Dataset, VOID, read_mask};
use crate::error::{Error, Result};
use crate::eval::{ClassCounts, Confusion, Measures, OpenPixels, bootstrap_mean_iou, cross_fit};
use crate::report::{Method, Number, Protocol, Repeat, Report, ScoreRule};
use crate::run::protocol::{Manifest, can_cross_fit, classes, protocol, without_held_out};
use crate::run::{SEED_ARRAYS, SEED_MASKS, SEED_PNG, SeedScores, array_path};

/// Seed of the draws of images: the same evaluation gives the same intervals.
const BOOTSTRAP_SEED: u64 = 0;

/// Names of missing files that are written out.
const SHOWN_NAMES: usize = 5;

/// What is evaluated, and on what.
#[derive(Clone, Copy, Debug)]
pub struct Evaluated<'a> {
    /// Images and ground truth.
    pub dataset: &'a Dataset,
    /// Name of the image list.
    pub split: &'a str,
    /// The folder that was given; what it says of itself becomes part of the protocol.
    pub folder: &'a Path,
    /// Scores, conventions, draws.
    pub config: &'a EvalConfig,
}

/// Label maps of a data set against its ground truth.
#[derive(Clone, Debug)]
pub struct LabelMapScores {
    /// All images together.
    pub confusion: Confusion,
    /// Image by image, in the order of the list.
    pub images: Vec<ClassCounts>,
    /// Where the label maps are.
    pub folder: PathBuf,
}

/// The report of seeds that came from anywhere: one method, one curve, and the numbers at the best score, at the fixed
/// one, and at scores chosen on other images, each with its interval.
///
/// # Errors
/// When the fixed background score is not on the curve, or the folder's own description is unreadable.
pub fn evaluation(of: &Evaluated<'_>, scores: &SeedScores) -> Result<Report> {
    let (config, curve) = (of.config, &scores.curve);
    let absent = config.absent_class;
    let at = |index: usize| scores.images.iter().filter_map(|image| image.class_counts(index)).collect::<Vec<_>>();
    let at_score = |rule: ScoreRule, index: usize| {
        let confusion = &curve.points()[index];
        number(config, rule, vec![curve.thresholds()[index]], confusion, &at(index))
    };
    let mut repeat = Repeat::from_curve(0, curve, config.background_score, absent)?;
    if let Some(best) = curve.best(absent) {
        repeat.numbers.push(at_score(ScoreRule::Best, best.index)?);
    }
    repeat.numbers.push(at_score(ScoreRule::Fixed, curve.index_of(config.background_score)?)?);
    let is_split = can_cross_fit(of.dataset, config);
    let fit = is_split.then(|| cross_fit(scores.sweep(), &scores.images, config.folds, absent)).transpose()?.flatten();
    if let Some(fit) = &fit {
        let held_out = number(config, ScoreRule::HeldOut, fit.thresholds.clone(), &fit.confusion, &fit.images)?;
        repeat.numbers.push(held_out);
        repeat = repeat.with_cross_fit(fit, absent);
    }
    let whole = protocol(of.dataset, of.split, config);
    let own = Protocol {
        threshold_rule: "best: the background score with the highest mIoU on the evaluated split".to_string(),
        stage: "seeds as given".to_string(),
        ..if fit.is_some() { whole } else { without_held_out(whole) }
    };
    let thresholds = curve.thresholds().to_vec();
    let manifest = Manifest::read(&of.folder.join(SEED_ARRAYS))?;
    Ok(report(of, ["Seeds", "seeds"], Report { protocol: manifest.onto(own), thresholds, ..Report::default() }, repeat))
}

/// The report of label maps that came from anywhere: one number with its interval. They have no background score.
///
/// # Errors
/// When the folder's own description is unreadable.
pub fn label_map_evaluation(of: &Evaluated<'_>, scores: &LabelMapScores) -> Result<Report> {
    let (config, confusion) = (of.config, &scores.confusion);
    let ious = confusion.ious(config.absent_class);
    let repeat = Repeat {
        class_iou_at_fixed: vec![None; ious.len()],
        class_iou_at_best: ious,
        confusion_at_best: confusion.rows(),
        pixel_accuracy_at_best: confusion.pixel_accuracy(),
        numbers: vec![number(config, ScoreRule::LabelMaps, Vec::new(), confusion, &scores.images)?],
        ..Repeat::default()
    };
    let manifest = Manifest::read(&scores.folder)?;
    let score = manifest.background_score.map_or_else(String::new, |score| format!(", background score {score}"));
    let own = Protocol {
        threshold_rule: String::new(),
        held_out_rule: String::new(),
        stage: format!("label maps as given{score}{}", config.open_pixels.note()),
        ..protocol(of.dataset, of.split, config)
    };
    let whole = Report { protocol: manifest.onto(own), ..Report::default() };
    Ok(report(of, ["Label maps", "label maps"], whole, repeat))
}

fn report(of: &Evaluated<'_>, [title, name]: [&str; 2], report: Report, repeat: Repeat) -> Report {
    Report {
        title: title.to_string(),
        classes: classes(of.dataset),
        methods: vec![Method { name: name.to_string(), repeats: vec![repeat], ..Method::default() }],
        ..report
    }
}

fn number(
    config: &EvalConfig,
    rule: ScoreRule,
    scores: Vec<f64>,
    confusion: &Confusion,
    images: &[ClassCounts],
) -> Result<Number> {
    let measures = Measures::of(confusion, config.absent_class);
    let draw = || {
        let mut draws = SeededSampler::new(BOOTSTRAP_SEED).child("bootstrap");
        bootstrap_mean_iou(images, config.absent_class, config.bootstrap, &mut draws)
    };
    // Without a pixel of ground truth there is nothing to draw.
    let interval = measures.mean_iou.is_some().then(draw).transpose()?;
    Ok(Number { rule, scores, interval, measures })
}

/// Fails unless the seeds of every image are there.
///
/// # Errors
/// With the number of those missing and the first few names.
pub fn expect_seeds(folder: &Path, dataset: &Dataset) -> Result<()> {
    expect_files(folder, dataset, "seeds", |name| array_path(folder, name))
}

/// Reads label maps, palette or gray PNG of any program, and counts them against the masks. They are `NAME.png` in the
/// folder itself, or in the one of `png/` and `masks/` that it has.
///
/// # Errors
/// When some are missing, with their number and names; when one is unreadable, of another size than the mask, or has a
/// value that is no class where the mask has one; one that leaves a pixel open is such, unless `open` says otherwise.
pub fn score_label_maps(folder: &Path, dataset: &Dataset, open: OpenPixels) -> Result<LabelMapScores> {
    let folder = label_map_folder(folder, dataset)?;
    let path_of = |name: &str| folder.join(format!("{name}.png"));
    expect_files(&folder, dataset, "label maps", path_of)?;
    // All are looked at, and the first bad one in the list's order is reported, whatever the threads do.
    let images: Vec<Result<Confusion>> = (0..dataset.len())
        .into_par_iter()
        .map(|index| score_label_map(&path_of(dataset.name(index)), dataset, index, open))
        .collect();
    let images = images.into_iter().collect::<Result<Vec<_>>>()?;
    let mut confusion = Confusion::new(dataset.layout().num_classes());
    images.iter().try_for_each(|image| confusion.merge(image))?;
    Ok(LabelMapScores { confusion, images: images.iter().map(Confusion::class_counts).collect(), folder })
}

/// Where in a folder the label maps are: in itself, or in the one of `png/` and `masks/` that has some of the images.
/// The folder itself where there are none at all.
///
/// # Errors
/// When both have some.
pub(crate) fn label_map_folder(folder: &Path, dataset: &Dataset) -> Result<PathBuf> {
    let has_any =
        |place: &Path| (0..dataset.len()).any(|index| place.join(format!("{}.png", dataset.name(index))).is_file());
    let parts: Vec<PathBuf> = [SEED_PNG, SEED_MASKS].map(|part| folder.join(part)).into();
    let parts: Vec<PathBuf> = parts.into_iter().filter(|part| has_any(part)).collect();
    match parts.as_slice() {
        _ if has_any(folder) => Ok(folder.to_path_buf()),
        [] => Ok(folder.to_path_buf()),
        [part] => Ok(part.clone()),
        _ => Err(Error::data(folder, format!("has label maps in {SEED_PNG} and in {SEED_MASKS}; name one of them"))),
    }
}

fn score_label_map(path: &Path, dataset: &Dataset, index: usize, open: OpenPixels) -> Result<Confusion> {
    let (mut truth, mut labels) = (dataset.mask(index)?, read_mask(path)?);
    if (truth.width, truth.height) != (labels.width, labels.height) {
        let sides = |width: usize, height: usize| format!("{width} x {height}");
        let (expected, got) = (sides(truth.width, truth.height), sides(labels.width, labels.height));
        return Err(Error::data(path, format!("expected {expected} (width x height) as the mask, is {got}")));
    }
    open.settle(&mut truth.data, &mut labels.data);
    let classes = dataset.layout().num_classes();
    let is_bad = |(truth, label): (&u8, &u8)| *truth != VOID && usize::from(*label) >= classes;
    let mut confusion = Confusion::new(classes);
    confusion.add(&truth.data, &labels.data).map_err(|err| {
        let at = truth.data.iter().zip(&labels.data).position(is_bad);
        let reason = at.map_or_else(|| err.to_string(), |at| {
            format!(
                "pixel ({}, {}) has value {}; expected 0 (background) or 1 to {} (classes) wherever the mask has a label",
                at % labels.width,
                at / labels.width,
                labels.data[at],
                classes - 1
            )
        });
        Error::data(path, reason)
    })?;
    Ok(confusion)
}

pub(crate) fn expect_files(
    folder: &Path,
    dataset: &Dataset,
    what: &str,
    path_of: impl Fn(&str) -> PathBuf,
) -> Result<()> {
    if !folder.is_dir() {
        return Err(Error::data(folder, format!("expected a folder of {what}, there is no such file")));
    }
    let names = (0..dataset.len()).map(|index| dataset.name(index));
    let missing: Vec<&str> = names.filter(|name| !path_of(name).is_file()).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [name] => {
            Err(Error::data(path_of(name), format!("expected the {what} of image {name}, there is no such file")))
        }
        names => {
            let shown = names[..names.len().min(SHOWN_NAMES)].join(", ");
            let more = names.len().saturating_sub(SHOWN_NAMES);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            let reason =
                format!("expected the {what} of {} images, {} are missing: {shown}{more}", dataset.len(), names.len());
            Err(Error::data(folder, reason))
        }
    }
}
