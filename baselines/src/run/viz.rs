//! Seeds of one or several origins looked at: what they score, where they are best and worst, and pictures of them.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use crate::config::EvalConfig;
use crate::data::{Dataset, Mask, VOID, read_mask};
use crate::error::{Error, Result};
use crate::eval::{AbsentClass, Confusion, Curve, ImageHistogram, Sweep};
use crate::infer::{self, SeedMaps};
use crate::report::{Protocol, SeedsPage, SeedsSource};
use crate::run::evaluation::{expect_files, label_map_folder};
use crate::run::protocol::{Manifest, classes, protocol};
use crate::run::seed_job::array_path;
use crate::run::seeds::missing;
use crate::run::viz_pictures::{galleries, write_overlays};
use crate::run::{Interrupt, Progress, SEED_ARRAYS};

/// What to look at.
#[derive(Debug)]
pub struct VizOptions<'a> {
    /// Images and labels; masks, where there are any.
    pub dataset: &'a Dataset,
    /// Name of its part, for the page.
    pub split: &'a str,
    /// Seeds and masks, side by side.
    pub sources: &'a [VizSource],
    /// Background scores, and the fixed one.
    pub eval: &'a EvalConfig,
    /// Background score of the pictures. Without it the best one, or the fixed one where there are no masks.
    pub background_score: Option<f64>,
    /// Images per contact sheet.
    pub rows: usize,
    /// Which overlays are written as files of their own.
    pub overlays: Overlays,
}

/// A folder of seeds, or of masks made of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VizSource {
    /// Its name on the page.
    pub name: String,
    /// The folder: with `arrays/` in it for seeds; of palette PNG files for masks, or with `png/` or `masks/` in it.
    pub folder: PathBuf,
    /// Which of the two it is.
    pub kind: SourceKind,
}

/// What a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// Scores per class: the arrays of `wsss seeds`.
    Seeds,
    /// Labels: palette PNG files.
    Masks,
}

/// Overlays as files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlays {
    /// None.
    #[default]
    None,
    /// Of the images the page shows.
    Shown,
    /// Of every image.
    All,
}

/// A source that was gone through.
pub(crate) struct Looked {
    pub(crate) source: VizSource,
    /// Background score of all that is shown; 0 for masks, whose scores are 0 and 1.
    pub(crate) score: f64,
    /// mIoU image by image at that score; empty without ground truth.
    pub(crate) image_ious: Vec<Option<f64>>,
    /// Share of the pixels that is foreground at that score, image by image.
    pub(crate) foreground: Vec<f64>,
    /// Pixels its masks leave open.
    void: u64,
    page: SeedsSource,
}

/// Labels and scores of one image.
pub(crate) struct Seen {
    pub(crate) maps: SeedMaps,
    /// Of a mask: with void, which scores have not.
    labels: Option<Vec<u8>>,
}

/// Goes through all images of all sources, writes overlays into `folder` if asked to, and returns the page.
///
/// # Errors
/// When there is no source, an array or mask is missing or does not fit its image, a file cannot be written, or the user
/// interrupts.
pub fn viz(options: &VizOptions<'_>, folder: &Path, progress: &Progress, interrupt: &Interrupt) -> Result<SeedsPage> {
    if options.sources.is_empty() {
        return Err(Error::Config("expected seeds or predictions to look at, got none".to_string()));
    }
    if options.rows == 0 {
        return Err(Error::Config("rows: must be at least 1, is 0".to_string()));
    }
    // Before anything is read: an empty or half-filled folder should not show after minutes.
    let settled = options.sources.iter().map(|source| source.settled(options.dataset)).collect::<Result<Vec<_>>>()?;
    let options = &VizOptions { sources: &settled, ..*options };
    for source in options.sources {
        let what = if source.kind == SourceKind::Seeds { "seeds" } else { "label maps" };
        expect_files(&source.folder, options.dataset, what, |name| source.path(name))?;
    }
    let looked =
        options.sources.iter().map(|source| look(options, source, progress, interrupt)).collect::<Result<Vec<_>>>()?;
    let (galleries, shown) = galleries(options, &looked)?;
    write_overlays(options, &looked, &shown, folder, progress, interrupt)?;
    let dataset = options.dataset;
    let titles: Vec<&str> = options.sources.iter().map(|source| source.name.as_str()).collect();
    let protocol = protocol(dataset, options.split, options.eval);
    let mut facts = vec![
        ("Data set, part".to_string(), format!("{}, {}", protocol.dataset, protocol.split)),
        ("Images".to_string(), dataset.len().to_string()),
        ("Ground truth".to_string(), ground_truth(dataset, &protocol.ground_truth)),
    ];
    for of in &looked {
        facts.push((of.source.name.clone(), of.source.origin()?));
        if of.void > 0 {
            let note = "pixels without a label in its masks count as background; wsss eval refuses them unless \
                        eval.open_pixels says otherwise";
            facts.push((String::new(), format!("{} {note}", of.void)));
        }
    }
    let absent = match options.eval.absent_class {
        AbsentClass::AsZero => "count as IoU 0",
        AbsentClass::Skipped => "left out of the mean",
    };
    facts.push(("Classes in neither".to_string(), absent.to_string()));
    Ok(SeedsPage {
        title: format!("Seeds: {}", titles.join(", ")),
        protocol: format!(
            "{} on {} {}, {} images, ground truth: {}",
            if titles.len() > 1 { "seeds side by side" } else { "seeds" },
            protocol.dataset,
            protocol.split,
            protocol.num_images,
            ground_truth(dataset, &protocol.ground_truth)
        ),
        classes: classes(dataset),
        labelled: labelled(dataset),
        absent_class: options.eval.absent_class,
        fixed_score: options.eval.background_score,
        sources: looked.into_iter().map(|looked| looked.page).collect(),
        galleries,
        facts,
        reproduce: Vec::new(),
    })
}

fn ground_truth(dataset: &Dataset, masks: &str) -> String {
    if dataset.has_masks() { masks.to_string() } else { "none".to_string() }
}

// Images in all, then those labelled with each class.
fn labelled(dataset: &Dataset) -> Vec<usize> {
    let mut counts = vec![0; dataset.class_names().len() + 1];
    counts[0] = dataset.len();
    for class in (0..dataset.len()).flat_map(|index| dataset.labels(index)) {
        counts[class + 1] += 1;
    }
    counts
}

impl VizSource {
    // Where it is, and what it says of how it was made.
    fn origin(&self) -> Result<String> {
        let part = match self.kind {
            SourceKind::Seeds => self.folder.join(SEED_ARRAYS),
            SourceKind::Masks => self.folder.clone(),
        };
        let made = Manifest::read(&part)?.onto(Protocol::default());
        let versions = made.versions();
        let scales = if versions.is_empty() { versions } else { format!(", scales {versions}") };
        let saliency = if made.uses_saliency { ", uses saliency" } else { "" };
        Ok(format!("{}, CRF: {}{scales}{saliency}", self.folder.display(), made.crf))
    }

    // With the folder its files are in.
    fn settled(&self, dataset: &Dataset) -> Result<Self> {
        let folder = match self.kind {
            SourceKind::Seeds => self.folder.clone(),
            SourceKind::Masks => label_map_folder(&self.folder, dataset)?,
        };
        Ok(Self { folder, ..self.clone() })
    }

    /// File of an image.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        match self.kind {
            SourceKind::Seeds => array_path(&self.folder, name),
            SourceKind::Masks => self.folder.join(format!("{name}.png")),
        }
    }

    /// What it has of an image.
    pub(crate) fn read(&self, dataset: &Dataset, index: usize) -> Result<Seen> {
        let (name, classes) = (dataset.name(index), dataset.class_names().len());
        let path = self.path(name);
        let seen = match self.kind {
            SourceKind::Seeds => {
                let maps = infer::read_seeds(&path).map_err(|err| missing(&path, name, err))?;
                Seen { maps, labels: None }
            }
            SourceKind::Masks => {
                let mask = read_mask(&path)?;
                Seen {
                    maps: as_scores(&mask).map_err(|err| Error::data(&path, err.to_string()))?,
                    labels: Some(mask.data),
                }
            }
        };
        match seen.maps.classes().iter().find(|class| **class >= classes) {
            None => Ok(seen),
            Some(class) => Err(Error::data(
                &path,
                format!("expected the {classes} classes of the data set, one is {class} (from 0)"),
            )),
        }
    }
}

impl Seen {
    /// Label of every pixel at a background score.
    pub(crate) fn labels(&self, score: f64) -> Vec<u8> {
        self.labels.clone().unwrap_or_else(|| self.maps.labels(score as f32))
    }
}

// A score of 1 where the label is: masks then go where seeds go.
fn as_scores(mask: &Mask) -> Result<SeedMaps> {
    let classes = mask.classes();
    let of = |class: usize| mask.data.iter().map(move |label| f32::from(u8::from(usize::from(*label) == class + 1)));
    let maps = classes.iter().flat_map(|class| of(*class)).collect();
    SeedMaps::new(classes.clone(), mask.height, mask.width, maps)
}

/// Counts of one image.
struct Counted {
    histogram: Option<ImageHistogram>,
    /// Label and pixels at the score shown without ground truth.
    pixels: Vec<(u8, u64)>,
    void: u64,
}

fn look(options: &VizOptions<'_>, source: &VizSource, progress: &Progress, interrupt: &Interrupt) -> Result<Looked> {
    let (dataset, eval) = (options.dataset, options.eval);
    let thresholds = match source.kind {
        SourceKind::Seeds => eval.thresholds.thresholds()?,
        SourceKind::Masks => vec![0.0],
    };
    let mut sweep = Sweep::new(dataset.layout().num_classes(), thresholds)?;
    let fixed = match source.kind {
        SourceKind::Seeds => options.background_score.unwrap_or(eval.background_score),
        SourceKind::Masks => 0.0,
    };
    let bar = progress.bar(&source.name, dataset.len());
    let images = (0..dataset.len()).into_par_iter().map(|index| {
        if interrupt.asked() {
            return Err(Error::Interrupted("; nothing was kept".to_string()));
        }
        let counted = count(dataset, source, &sweep, fixed, index);
        bar.inc(1);
        counted
    });
    // All are looked at, and the first bad one in the list's order is reported, whatever the threads do.
    let images: Vec<Result<Counted>> = images.collect();
    bar.finish_and_clear();
    let images = images.into_iter().collect::<Result<Vec<_>>>()?;
    let void = images.iter().map(|image| image.void).sum();
    if !dataset.has_masks() {
        return Ok(Looked { void, ..without_truth(source, fixed, &images, dataset.class_names().len() + 1) });
    }
    let histograms: Vec<ImageHistogram> = images.into_iter().filter_map(|image| image.histogram).collect();
    histograms.iter().try_for_each(|image| sweep.add_image(image))?;
    Ok(Looked { void, ..with_truth(options, source, &sweep.curve(), &histograms)? })
}

fn count(dataset: &Dataset, source: &VizSource, sweep: &Sweep, score: f64, index: usize) -> Result<Counted> {
    let path = source.path(dataset.name(index));
    let seen = source.read(dataset, index)?;
    let open = seen.labels.iter().flatten().filter(|label| **label == VOID);
    let void = open.count() as u64;
    if !dataset.has_masks() {
        let mut pixels = [0u64; 256];
        seen.labels(score).into_iter().for_each(|label| pixels[usize::from(label)] += 1);
        let pixels = (0..=u8::MAX).zip(pixels).filter(|(_, count)| *count > 0).collect();
        return Ok(Counted { histogram: None, pixels, void });
    }
    let mask = dataset.mask(index)?;
    let (expected, got) = ((mask.width, mask.height), (seen.maps.width(), seen.maps.height()));
    if expected != got {
        return Err(another_size(&path, expected, got));
    }
    let histogram = sweep.image(&mask.data, &seen.maps).map_err(|err| Error::data(&path, err.to_string()))?;
    Ok(Counted { histogram: Some(histogram), pixels: Vec::new(), void })
}

pub(crate) fn another_size(path: &Path, expected: (usize, usize), got: (usize, usize)) -> Error {
    let size = |(width, height): (usize, usize)| format!("{width} x {height}");
    Error::data(path, format!("expected the image's size, {} (width x height), got {}", size(expected), size(got)))
}

fn without_truth(source: &VizSource, score: f64, images: &[Counted], classes: usize) -> Looked {
    let mut sums = vec![0u64; classes];
    for (label, pixels) in images.iter().flat_map(|image| &image.pixels).filter(|(label, _)| *label != VOID) {
        sums[usize::from(*label)] += pixels;
    }
    let foreground = |image: &Counted| {
        let of = |keep: &dyn Fn(u8) -> bool| -> u64 {
            image.pixels.iter().filter(|(label, _)| keep(*label)).map(|(_, pixels)| pixels).sum()
        };
        of(&|label| label != 0 && label != VOID) as f64 / of(&|_| true).max(1) as f64
    };
    Looked {
        source: source.clone(),
        score,
        image_ious: Vec::new(),
        foreground: images.iter().map(foreground).collect(),
        void: 0,
        page: SeedsSource {
            name: source.name.clone(),
            shown_score: source.shown(score),
            shares: shares(&sums),
            ..SeedsSource::default()
        },
    }
}

fn with_truth(
    options: &VizOptions<'_>,
    source: &VizSource,
    curve: &Curve,
    images: &[ImageHistogram],
) -> Result<Looked> {
    let (eval, is_seeds) = (options.eval, source.kind == SourceKind::Seeds);
    let best = curve.best(eval.absent_class);
    let index = match options.background_score.filter(|_| is_seeds) {
        Some(score) => curve.index_of(score)?,
        None => best.map_or(0, |best| best.index),
    };
    let fixed = if is_seeds { curve.at(eval.background_score, eval.absent_class)? } else { None };
    let confusion = curve.points().get(index).cloned().unwrap_or_else(|| Confusion::new(1));
    let counts = confusion.class_counts();
    let score = curve.thresholds().get(index).copied().unwrap_or(0.0);
    let of_image = |image: &ImageHistogram| {
        let counts = image.class_counts(index);
        let pixels: u64 = counts.as_ref().map_or(0, |counts| counts.predicted().iter().sum());
        let background = counts.as_ref().and_then(|counts| counts.predicted().first().copied()).unwrap_or(0);
        // Whatever the convention for whole splits: a class this image has nothing to do with says nothing.
        let iou = counts.and_then(|counts| counts.mean_iou(AbsentClass::Skipped));
        (iou, (pixels - background) as f64 / pixels.max(1) as f64)
    };
    let (image_ious, foreground) = images.iter().map(of_image).unzip();
    let points = curve.thresholds().iter().zip(curve.mean_ious(eval.absent_class));
    Ok(Looked {
        source: source.clone(),
        score,
        image_ious,
        foreground,
        void: 0,
        page: SeedsSource {
            name: source.name.clone(),
            curve: points.filter_map(|(score, iou)| Some((*score, iou?))).filter(|_| is_seeds).collect(),
            best: best.filter(|_| is_seeds).map(|best| (best.threshold, best.mean_iou)),
            at_fixed: fixed.map(|fixed| fixed.mean_iou),
            shown_score: source.shown(score),
            shares: shares(counts.predicted()),
            confusion: Some(confusion),
        },
    })
}

impl VizSource {
    // Masks have no score.
    fn shown(&self, score: f64) -> Option<f64> {
        (self.kind == SourceKind::Seeds).then_some(score)
    }
}

fn shares(pixels: &[u64]) -> Vec<f64> {
    let sum: u64 = pixels.iter().sum();
    pixels.iter().map(|count| *count as f64 / sum.max(1) as f64).collect()
}
