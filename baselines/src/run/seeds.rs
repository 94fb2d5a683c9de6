//! Seeds of a data set: inferred into a folder, and scored from it.

use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_wsss::{Baseline, Normalization};
use rayon::prelude::*;

use crate::config::{EvalConfig, RunConfig};
use crate::data::{Dataset, ImageSet, Mask, write_mask};
use crate::error::{Error, Result};
use crate::eval::{Curve, ImageHistogram, Sweep};
use crate::infer::{self, Precision, SeedMaps};
use crate::run::{Interrupt, Progress};

/// Name of the folder of compact arrays inside a folder of seeds.
pub const SEED_ARRAYS: &str = "arrays";

/// Compact arrays of a seed folder.
pub fn array_path(folder: &Path, name: &str) -> PathBuf {
    folder.join(SEED_ARRAYS).join(format!("{name}.safetensors"))
}

/// Palette PNG of a seed folder.
pub fn png_path(folder: &Path, name: &str) -> PathBuf {
    folder.join("png").join(format!("{name}.png"))
}

/// Infers the seeds of every image into `folder`: `arrays/NAME.safetensors` (scores of the present classes, half
/// precision) and `png/NAME.png` (labels at `background_score`). With `resume`, files that are there are kept.
///
/// # Errors
/// When an image is unreadable, a file cannot be written, or the user interrupts.
#[allow(clippy::too_many_arguments, reason = "one stage of the program, called from two places")]
pub fn infer_seeds(
    model: &dyn Baseline,
    images: &ImageSet,
    config: &RunConfig,
    background_score: f64,
    folder: &Path,
    resume: bool,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let out = SeedFolder { path: folder, background_score, resume };
    write_seed_folder(images, &out, progress, interrupt, |index| {
        let image = images.image(index)?;
        let normalization = config.loader.normalization;
        infer_one(model, &image, images.labels(index), config, normalization)
            .map_err(|err| named(images.name(index), err))
    })
}

/// Where seeds go.
#[derive(Clone, Copy, Debug)]
pub struct SeedFolder<'a> {
    /// The folder, which is made if it is not there.
    pub path: &'a Path,
    /// Score of the background in the PNG files.
    pub background_score: f64,
    /// Whether files that are there are kept.
    pub resume: bool,
}

/// Writes the seeds `seeds_of` makes of every image: the files of [`infer_seeds`].
pub(crate) fn write_seed_folder(
    images: &ImageSet,
    out: &SeedFolder<'_>,
    progress: &Progress,
    interrupt: &Interrupt,
    seeds_of: impl Fn(usize) -> Result<SeedMaps> + Sync,
) -> Result<()> {
    let SeedFolder { path: folder, background_score, resume } = *out;
    for part in [SEED_ARRAYS, "png"] {
        let path = folder.join(part);
        std::fs::create_dir_all(&path).map_err(Error::io(&path))?;
    }
    let bar = progress.bar("seeds", images.len());
    let written = (0..images.len()).into_par_iter().try_for_each(|index| {
        if interrupt.asked() {
            return Err(Error::Interrupted(format!("; seeds finished by then are in {}", folder.display())));
        }
        let name = images.name(index);
        let (array, png) = (array_path(folder, name), png_path(folder, name));
        if !(resume && array.exists() && png.exists()) {
            let maps = seeds_of(index)?;
            write_labels(&png, &maps, background_score)?;
            // Last, because it is what says the image is done.
            infer::write_seeds(&array, &maps, Precision::Half)?;
        }
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    if written.is_err() {
        // Each goes only if it is empty: nothing was made then.
        for path in [folder.join(SEED_ARRAYS), folder.join("png"), folder.to_path_buf()] {
            drop(std::fs::remove_dir(path));
        }
    }
    written
}

fn infer_one(
    model: &dyn Baseline,
    image: &image::RgbImage,
    labels: &[usize],
    config: &RunConfig,
    normalization: Normalization,
) -> Result<SeedMaps> {
    infer::seeds(model, image, labels, &config.infer, normalization, &Device::Cpu)
}

fn named(name: &str, err: Error) -> Error {
    match err {
        err @ Error::Core(_) => Error::data(name, err.to_string()),
        err => err,
    }
}

fn write_labels(path: &Path, maps: &SeedMaps, background_score: f64) -> Result<()> {
    let mask = Mask { width: maps.width(), height: maps.height(), data: maps.labels(background_score as f32) };
    write_mask(path, &mask)
}

pub(crate) fn missing(path: &Path, name: &str, err: Error) -> Error {
    match err {
        Error::Io { source, .. } => Error::input(path, &format!("the seeds of image {name}"))(source),
        err => err,
    }
}

/// Seeds of a data set against its ground truth.
pub struct SeedScores {
    /// Counts at every background score, all images together.
    pub curve: Curve,
    /// The same image by image, in the order of the list.
    pub images: Vec<ImageHistogram>,
    sweep: Sweep,
}

impl SeedScores {
    /// An empty sweep of the same scores and classes, for further statistics.
    pub fn sweep(&self) -> &Sweep {
        &self.sweep
    }
}

/// Reads the arrays of a seed folder and counts them against the masks, every background score in one pass.
///
/// # Errors
/// When a file is missing or unreadable, or sizes differ.
pub fn score_seeds(folder: &Path, dataset: &Dataset, config: &EvalConfig) -> Result<SeedScores> {
    let classes = dataset.layout().num_classes();
    let mut sweep = Sweep::new(classes, config.thresholds.thresholds()?)?;
    let images: Vec<ImageHistogram> = (0..dataset.len())
        .into_par_iter()
        .map(|index| {
            let path = array_path(folder, dataset.name(index));
            let maps = infer::read_seeds(&path).map_err(|err| missing(&path, dataset.name(index), err))?;
            let mask = dataset.mask(index)?;
            let size = (mask.height, mask.width);
            if size != (maps.height(), maps.width()) {
                let got = (maps.height(), maps.width());
                return Err(Error::data(
                    &path,
                    format!("expected {} x {} as the mask, got {} x {}", size.0, size.1, got.0, got.1),
                ));
            }
            sweep.image(&mask.data, &maps).map_err(|err| Error::data(&path, err.to_string()))
        })
        .collect::<Result<_>>()?;
    for image in &images {
        sweep.add_image(image)?;
    }
    Ok(SeedScores { curve: sweep.curve(), images, sweep })
}
