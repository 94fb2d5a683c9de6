//! Batches as a function of seed and step.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use candle_wsss::{Progress, Sampler, SeededSampler};

use crate::data::batch::{Batch, HostBatch};
use crate::data::config::LoaderConfig;
use crate::data::image_set::ImageSet;
use crate::data::prefetch::Prefetch;
use crate::data::transform::{Augmentation, Sample};
use crate::error::{Error, Result};

/// Makes training batches.
///
/// [`Loader::batch`] depends on the seed and the step alone: every epoch has its own permutation, every sample of an
/// epoch its own stream of draws. A resumed run therefore needs no state but its step, and neither the number of
/// threads nor the order of the calls changes a byte. The incomplete batch at the end of an epoch is dropped, as in
/// the released code.
#[derive(Clone, Debug)]
pub struct Loader {
    source: Arc<Source>,
    device: Device,
}

#[derive(Debug)]
struct Source {
    images: Arc<ImageSet>,
    config: LoaderConfig,
    sampler: SeededSampler,
}

impl Loader {
    /// A loader over the images of a split.
    ///
    /// # Errors
    /// When a setting is out of its range, there are fewer images than a batch has, or saliency is asked for and an
    /// image has none.
    pub fn new(images: Arc<ImageSet>, config: LoaderConfig, seed: u64, device: &Device) -> Result<Self> {
        config.validate()?;
        if images.len() < config.batch_size {
            let reason = format!("a batch takes {} images, the split has {} in all", config.batch_size, images.len());
            return Err(candle_wsss::Error::config("batch_size", reason).into());
        }
        if config.saliency
            && let Some(path) = (0..images.len()).map(|i| images.saliency_path(i)).find(|path| !path.is_file())
        {
            return Err(missing_saliency(&path));
        }
        let sampler = SeededSampler::new(seed);
        Ok(Self { source: Arc::new(Source { images, config, sampler }), device: device.clone() })
    }

    /// The images.
    pub fn images(&self) -> &Arc<ImageSet> {
        &self.source.images
    }

    /// The settings.
    pub fn config(&self) -> &LoaderConfig {
        &self.source.config
    }

    /// Batches of an epoch.
    pub fn steps_per_epoch(&self) -> usize {
        self.source.steps_per_epoch()
    }

    /// The batch of a step, from 0; steps go on through the epochs.
    ///
    /// # Errors
    /// Naming the file when an image or saliency map cannot be read.
    pub fn batch(&self, step: usize) -> Result<Batch> {
        self.upload(self.source.prepare(step)?)
    }

    /// The batches of a range of steps, made ahead by [`LoaderConfig::prefetch`] threads, and brought to the device by one
    /// more: a copy to a device waits for what that was given before. Same bytes as [`Loader::batch`]; a batch that cannot
    /// be made is an `Err` in its place.
    pub fn stream(&self, steps: Range<usize>) -> impl Iterator<Item = Result<Batch>> + use<> {
        let source = Arc::clone(&self.source);
        let threads = self.source.config.prefetch;
        let prepared = Mutex::new(Prefetch::new(steps.clone(), threads, move |step| source.prepare(step)));
        let loader = self.clone();
        Prefetch::new(steps, threads.min(1), move |step| {
            let batch = prepared.lock().unwrap_or_else(PoisonError::into_inner).next();
            loader.upload(batch.unwrap_or_else(|| loader.source.prepare(step))?)
        })
    }

    fn upload(&self, batch: HostBatch) -> Result<Batch> {
        batch.upload(&self.source.images, &self.source.config, &self.device)
    }
}

impl Source {
    fn steps_per_epoch(&self) -> usize {
        self.images.len() / self.config.batch_size
    }

    fn prepare(&self, step: usize) -> Result<HostBatch> {
        let (epoch, first) = (step / self.steps_per_epoch(), step % self.steps_per_epoch());
        let size = self.config.batch_size;
        let mut indices: Vec<usize> = (first * size..(first + 1) * size).collect();
        if self.config.shuffle {
            let order = self.sampler.child(&format!("epoch/{epoch}")).distinct(self.images.len(), self.images.len())?;
            indices = indices.into_iter().map(|place| order[place]).collect();
        }
        let samples = indices.iter().map(|&index| self.sample(epoch, index)).collect::<Result<_>>()?;
        Ok(HostBatch { progress: Progress { step, epoch, is_epoch_start: first == 0 }, indices, samples })
    }

    fn sample(&self, epoch: usize, index: usize) -> Result<Sample> {
        let augmentation = Augmentation::draw(&self.config, &self.sampler.child(&format!("sample/{epoch}/{index}")))?;
        let image = self.images.image(index)?;
        let saliency = if self.config.saliency {
            let map = self.images.saliency(index)?;
            Some(map.ok_or_else(|| missing_saliency(&self.images.saliency_path(index)))?)
        } else {
            None
        };
        Ok(augmentation.apply(&image, saliency.as_ref(), self.config.normalization))
    }
}

fn missing_saliency(path: &std::path::Path) -> Error {
    Error::data(path, "expected the image's saliency map (`saliency` is on), there is no such file")
}
