//! Attention accumulated while training: when, over which images, and what seeds become of it.

use std::path::{Path, PathBuf};

use candle_core::Tensor;
use candle_wsss::{Mode, View};
use rayon::prelude::*;

use crate::accumulate::{
    AttentionInfo, AttentionMap, attention_path, attention_seeds, read_attention, write_attention,
};
use crate::config::RunConfig;
use crate::data::{Filter, ImageSet, resize};
use crate::error::{Error, Result};
use crate::infer::normalized;
use crate::run::seed_job::{SeedFolder, SeedJob, Seeds};
use crate::run::{Interrupt, Network, Progress};

/// Name of the folder of accumulated maps inside a training's folder.
pub const ATTENTION_FOLDER: &str = "attention";

/// One walk over all images.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccumulationPass {
    /// Epochs finished before the one that has just ended.
    pub epoch: usize,
    /// Whether training is over.
    pub is_last: bool,
}

/// After which steps there is a pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AccumulationSchedule {
    start_epoch: Option<usize>,
    steps_per_epoch: usize,
    total: usize,
}

impl AccumulationSchedule {
    /// Of a training of `total` steps.
    ///
    /// # Errors
    /// When accumulation is on and would begin after the last epoch.
    pub(crate) fn new(config: &RunConfig, steps_per_epoch: usize, total: usize) -> Result<Self> {
        let accumulate = &config.accumulate;
        let epochs = total.div_ceil(steps_per_epoch);
        if accumulate.enabled && accumulate.start_epoch >= epochs {
            let reason = format!("must be below the number of epochs, {epochs}, is {}", accumulate.start_epoch);
            return Err(candle_wsss::Error::config("accumulate.start_epoch", reason).into());
        }
        let start_epoch = accumulate.enabled.then_some(accumulate.start_epoch);
        Ok(Self { start_epoch, steps_per_epoch, total })
    }

    /// The pass that follows when `done` steps are taken. Training that ends within an epoch ends that epoch.
    pub(crate) fn pass_after(&self, done: usize) -> Option<AccumulationPass> {
        let is_last = done == self.total;
        let epoch = done.checked_sub(1)? / self.steps_per_epoch;
        let is_due = is_last || done.is_multiple_of(self.steps_per_epoch);
        (is_due && epoch >= self.start_epoch?).then_some(AccumulationPass { epoch, is_last })
    }
}

/// Runs the network over all images and takes the maps of their classes into `folder`: `NAME_CLASS.png`, the pixel-wise
/// maximum over the passes, at the network's own resolution.
///
/// A file is whole at any time, and taking the same map twice changes nothing, so a pass that was stopped is simply done
/// again. A pass the folder has already is not.
///
/// # Errors
/// When an image is unreadable, the network's maps are no numbers, a file cannot be written or does not fit, or the user
/// interrupts.
pub fn accumulate(
    network: &Network,
    images: &ImageSet,
    config: &RunConfig,
    pass: AccumulationPass,
    folder: &Path,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let after = AttentionInfo { epochs: pass.epoch + 1, filled: pass.is_last && config.accumulate.fill };
    if AttentionInfo::read(folder)?.is_some_and(|info| info.epochs >= after.epochs && info.filled >= after.filled) {
        return Ok(());
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let bar = progress.bar("attention", images.len());
    let walked = (0..images.len()).into_par_iter().try_for_each(|index| {
        if interrupt.asked() {
            let place = folder.display();
            return Err(Error::Interrupted(format!(
                "; attention maps merged by then are in {place}, --resume goes on"
            )));
        }
        accumulate_image(network, images, index, config, pass, folder)?;
        bar.inc(1);
        Ok(())
    });
    bar.finish_and_clear();
    walked.and_then(|()| after.write(folder))
}

fn accumulate_image(
    network: &Network,
    images: &ImageSet,
    index: usize,
    config: &RunConfig,
    pass: AccumulationPass,
    folder: &Path,
) -> Result<()> {
    let (name, labels) = (images.name(index), images.labels(index));
    if labels.is_empty() {
        return Ok(());
    }
    let named = |err: Error| Error::data(name, err.to_string());
    let Activations { logits, maps } = activations(network, images, index, config).map_err(|err| match err {
        err @ Error::Core(_) => named(err),
        err => err,
    })?;
    let accumulate = &config.accumulate;
    for &class in labels {
        let path = attention_path(folder, name, class);
        let accepted = accumulate.acceptance.accepts(&logits, class, labels.len());
        if accepted || (pass.is_last && accumulate.fill && !path.exists()) {
            let map = maps.get(class)?;
            let (height, width) = map.dims2()?;
            let map = AttentionMap::from_activation(&map.flatten_all()?.to_vec1::<f32>()?, width, height);
            take_over(&path, map.map_err(named)?)?;
        }
    }
    Ok(())
}

struct Activations {
    /// Of all foreground classes.
    logits: Vec<f32>,
    /// `(num_classes, h, w)`.
    maps: Tensor,
}

fn activations(network: &Network, images: &ImageSet, index: usize, config: &RunConfig) -> Result<Activations> {
    let mut image = images.image(index)?;
    let size = (image.width() as usize, image.height() as usize);
    let (width, height) = config.accumulate.input.size(size);
    if (width, height) != size {
        image = resize(&image, width, height, Filter::Bilinear);
    }
    let normalization = config.loader.normalization;
    let image = normalized(&image, normalization, network.device())?.unsqueeze(0)?;
    let model = network.baseline();
    let output = model.forward(&View::new(image)?.with_normalization(normalization)?, Mode::Eval)?;
    output.check(model.spec())?;
    Ok(Activations { logits: output.logits.squeeze(0)?.to_vec1()?, maps: output.seed_cam().detach().squeeze(0)? })
}

// Merges a map into its file; a file that would not change is not written.
fn take_over(path: &Path, mut map: AttentionMap) -> Result<()> {
    if path.exists() {
        let mut before = read_attention(path)?;
        if !before.merge(&map).map_err(|err| Error::data(path, err.to_string()))? {
            return Ok(());
        }
        map = before;
    }
    write_attention(path, &map)
}

/// Seeds of every image out of a folder of accumulated maps, in place of a network: the files of
/// [`infer_seeds_of`](crate::run::infer_seeds_of).
///
/// # Errors
/// When a map or an image is missing or unreadable, a file cannot be written, or the user interrupts.
pub fn seeds_from_attention(
    attention: &Path,
    images: &ImageSet,
    out: &SeedFolder<'_>,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    attention_seeds_of(&SeedJob::new(images, *out), attention, progress, interrupt)
}

/// Does a job with a folder of accumulated maps.
///
/// # Errors
/// Those of [`seeds_from_attention`], and when the folder is another job's.
pub fn attention_seeds_of(
    job: &SeedJob<'_>,
    attention: &Path,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<()> {
    let (info, images) = (AttentionInfo::expect(attention)?, job.images);
    job.run(progress, interrupt, |index, image| {
        let size = (image.height() as usize, image.width() as usize);
        let seeds = attention_seeds(attention, &info, images.name(index), images.labels(index), size)?;
        Ok(Seeds::Full(seeds))
    })
}

/// Accumulated maps of a training.
pub fn attention_folder(training: &Path) -> PathBuf {
    training.join(ATTENTION_FOLDER)
}
