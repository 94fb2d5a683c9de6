//! Seeds of a data set: inferred into a folder, and scored from it.

use std::path::Path;

use rayon::prelude::*;

use crate::config::{EvalConfig, RunConfig};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::eval::{Curve, ImageHistogram, Sweep};
use crate::infer::{self, Inference};
use crate::run::seed_job::{SeedJob, Seeds, of_image};
use crate::run::{Interrupt, Network, Progress};

pub(crate) use crate::run::seed_job::array_path;

/// Does a job with a network: `arrays/NAME.safetensors` (maps of the present classes, half precision), `png/NAME.png`
/// (labels at the folder's background score), and whatever else the job asks for.
///
/// # Errors
/// When the folder is another job's, an image is unreadable, a file cannot be written, or the user interrupts.
pub fn infer_seeds_of(
    job: &SeedJob<'_>,
    network: &Network,
    config: &RunConfig,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let images = job.images;
    job.run(progress, interrupt, |index, image| {
        let (labels, normalization) = (images.labels(index), config.loader.normalization);
        let (model, device) = (network.baseline(), network.device());
        let inference = infer::infer_image(model, image, labels, &config.infer, normalization, device);
        let Inference { seeds, left_out } = inference.map_err(|err| of_image(images.name(index), err))?;
        if !left_out.is_empty() {
            let (name, width, height) = (images.name(index), image.width(), image.height());
            progress.note(&format!(
                "{name}: {width} x {height} pixels are too few for the network at the scales {left_out:?}; \
                 its seeds are those of the others"
            ));
        }
        Ok(Seeds::Grids(seeds))
    })
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
