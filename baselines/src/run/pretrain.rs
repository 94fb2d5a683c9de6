//! [`pretrain`]: plain classification from random weights, which gives fine-tuning a start.

use std::path::Path;
use std::sync::Arc;

use candle_core::{DType, Device, Tensor};
use candle_wsss::{LossTerms, Mode, ParameterGroup, Sampler, SeededSampler, ops};
use indicatif::ProgressBar;

use crate::config::RunConfig;
use crate::data::{ImageSet, Loader};
use crate::error::{Error, Result};
use crate::run::build::build;
use crate::run::job::images_of;
use crate::run::{Interrupt, Progress};
use crate::train::checkpoint::{self, CheckpointInfo, FORMAT};
use crate::train::{Ledger, PolySgd};

/// What pretraining came to.
#[derive(Clone, Copy, Debug)]
pub struct PretrainSummary {
    /// Steps taken.
    pub steps: usize,
    /// Mean classification loss of the first tenth of the steps.
    pub first_loss: f64,
    /// Mean classification loss of the last tenth of the steps.
    pub last_loss: f64,
    /// Size of the file written, bytes.
    pub bytes: u64,
}

/// Trains the baseline's trunk as a plain image classifier and writes it in half precision.
///
/// Layers that a later run starts from nothing anyway are not written.
///
/// # Errors
/// When data is invalid, the loss diverges, or the user interrupts.
pub fn pretrain(
    config: &RunConfig,
    images: Arc<ImageSet>,
    out: &Path,
    device: &Device,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<PretrainSummary> {
    expect_writable(out)?;
    config.validate()?;
    let model = build(config, &[], images.layout(), config.seed, device)?;
    let (classes, names) = (images.class_names().to_vec(), images_of(&images));
    let loader = Loader::new(images, config.loader.clone(), config.seed, device).map_err(|err| err.within("loader"))?;
    let total = config.train.total_steps(loader.steps_per_epoch());
    let mut optimizer = PolySgd::new(config.optimizer.clone(), model.baseline.as_ref(), &model.store, total)?;
    let draws = SeededSampler::new(config.seed).child("pretrain");
    let bar = progress.bar("pretrain", total);
    let mut losses = Losses { ledger: Ledger::new(config.train.steps_between_reads(device)), values: Vec::new(), bar };
    for batch in loader.stream(0..total) {
        let batch = batch?;
        let step = batch.progress.step;
        let mut dropout = draws.fork(&format!("step/{step}"));
        let output = model.baseline.forward(&batch.views.source, Mode::Train(dropout.as_mut()))?;
        let loss = ops::soft_margin(&output.logits, batch.labels.multi_hot())?;
        losses.enter(step, loss.clone())?;
        optimizer.step(&loss.backward()?)?;
        losses.bar.set_position(step as u64 + 1);
        if interrupt.asked() {
            return Err(Error::Interrupted(format!(" after {} of {total} steps; nothing was written", step + 1)));
        }
    }
    let losses = losses.all()?;
    let tensors: Vec<(String, Tensor)> = model
        .store
        .named_vars()
        .into_iter()
        .filter(|(name, _)| model.baseline.parameter_group(name) != ParameterGroup::FromScratch)
        .map(|(name, var)| Ok((name, var.as_tensor().detach().to_dtype(DType::F16)?)))
        .collect::<Result<_>>()?;
    // In half precision: what overflows there is no start either.
    checkpoint::expect_finite(losses.len(), &tensors)?;
    let info = CheckpointInfo {
        format: FORMAT.to_string(),
        step: losses.len(),
        seed: config.seed,
        classes,
        images: names,
        regularizers: Vec::new(),
        config: config.to_toml()?,
    };
    checkpoint::write(out, tensors, &info)?;
    let bytes = std::fs::metadata(out).map_err(Error::io(out))?.len();
    let tenth = (losses.len() / 10).max(1);
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
    Ok(PretrainSummary {
        steps: losses.len(),
        first_loss: mean(&losses[..tenth.min(losses.len())]),
        last_loss: mean(&losses[losses.len().saturating_sub(tenth)..]),
        bytes,
    })
}

/// The classification loss of every step, read from the device as seldom as training does.
struct Losses {
    ledger: Ledger,
    values: Vec<f64>,
    bar: ProgressBar,
}

impl Losses {
    fn enter(&mut self, step: usize, loss: Tensor) -> Result<()> {
        let mut terms = LossTerms::default();
        terms.push("cls", 1.0, loss)?;
        self.ledger.enter(step, &terms)?;
        if self.ledger.is_due() { self.read() } else { Ok(()) }
    }

    fn read(&mut self) -> Result<()> {
        self.values.extend(self.ledger.read()?.into_iter().flatten().map(|term| term.value));
        self.bar.set_message(self.values.last().map(|value| format!("loss {value:.3}")).unwrap_or_default());
        Ok(())
    }

    fn all(mut self) -> Result<Vec<f64>> {
        self.read()?;
        self.bar.finish_and_clear();
        Ok(self.values)
    }
}

/// Fails unless `out` can become a new file; makes the folder it goes into. To be asked before hours of work.
///
/// # Errors
/// [`Error::OutputExists`], or when the folder cannot be made.
pub fn expect_writable(out: &Path) -> Result<()> {
    if out.exists() {
        return Err(Error::OutputExists(out.to_path_buf()));
    }
    match out.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => std::fs::create_dir_all(folder).map_err(Error::io(folder)),
        _ => Ok(()),
    }
}
