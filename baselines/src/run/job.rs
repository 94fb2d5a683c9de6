//! [`TrainJob`]: one method trained once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Device;
use candle_wsss::regularizer::RegularizerConfig;
use serde::{Deserialize, Serialize};

use crate::config::RunConfig;
use crate::data::{ImageSet, Loader, write_atomic};
use crate::error::{Error, Result};
use crate::run::attention::{AccumulationSchedule, accumulate, attention_folder};
use crate::run::build::{Model, build};
use crate::run::events::write_events;
use crate::run::folder::{another_run, expect_same_config};
use crate::run::training_log::TrainingLog;
use crate::run::{Interrupt, Progress};
use crate::train::checkpoint::{self, Checkpoint, CheckpointInfo, FORMAT};
use crate::train::{PolySgd, StepTimes, Trainer};

/// File name of a job's checkpoint in its folder.
pub const CHECKPOINT_FILE: &str = "checkpoint.safetensors";
/// File name of a job's loss curves in its folder, JSON lines.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// One method to be trained once.
pub struct TrainJob<'a> {
    /// The run's configuration.
    pub config: &'a RunConfig,
    /// Regularizers on the baseline.
    pub regularizers: &'a [RegularizerConfig],
    /// Name for progress and messages.
    pub title: String,
    /// Images and image-level labels.
    pub images: Arc<ImageSet>,
    /// Seed of this training.
    pub seed: u64,
    /// Folder the checkpoint and the curves go into; it must exist.
    pub folder: &'a Path,
    /// Where to compute.
    pub device: &'a Device,
}

/// One line of the loss curves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Steps taken before this one.
    pub step: usize,
    /// Base learning rate.
    pub learning_rate: f64,
    /// Weighted sum of the terms; nothing when no term had a meaning.
    pub total: Option<f64>,
    /// Terms before their weights.
    pub terms: BTreeMap<String, f64>,
    /// Factor of each term in the total.
    pub weights: BTreeMap<String, f64>,
    /// Terms left out of this step, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub omitted: BTreeMap<String, String>,
}

/// What training gave.
pub struct TrainOutcome {
    /// The trained model.
    pub model: Model,
    /// Loss curves.
    pub history: Vec<StepRecord>,
    /// Mean time of a step of this process.
    pub times: StepTimes,
    /// Steps of this process, and how long they took with all between them: waiting for data, checkpoints.
    pub pace: Pace,
    /// Trainable parameters the first step did not reach.
    pub unreached: Vec<String>,
}

/// How long training took in this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Steps taken.
    pub steps: usize,
    /// From the first of them to the end.
    pub elapsed: Duration,
    /// Part of it spent waiting for batches.
    pub waiting: Duration,
}

impl TrainJob<'_> {
    /// Trains to the end, from the checkpoint in the folder if `resume` is set and there is one.
    ///
    /// # Errors
    /// When data is invalid, a loss diverges, or the user interrupts; what was learnt by then is saved in the last case.
    pub fn run(&self, resume: bool, progress: &Progress, interrupt: &Interrupt) -> Result<TrainOutcome> {
        self.config.validate()?;
        self.config.expect_trainable()?;
        let loader = Loader::new(Arc::clone(&self.images), self.config.loader.clone(), self.seed, self.device)
            .map_err(|err| err.within("loader"))?;
        let total = self.config.train.total_steps(loader.steps_per_epoch());
        let schedule = AccumulationSchedule::new(self.config, loader.steps_per_epoch(), total)?;
        let mut model = build(self.config, self.regularizers, self.images.layout(), self.seed, self.device)?;
        let mut optimizer = PolySgd::new(self.config.optimizer.clone(), model.baseline.as_ref(), &model.store, total)?;
        let path = self.folder.join(CHECKPOINT_FILE);
        let (mut done, mut log) = (0, TrainingLog::default());
        if resume && path.exists() {
            (done, log.history) = self.take_up(&path, &mut model, &mut optimizer)?;
            // It may have been stopped before the epoch's maps were all accumulated.
            self.accumulate(&schedule, done, &model, progress, interrupt)?;
        }

        let bar = progress.bar(&self.title, total);
        bar.set_position(done as u64);
        let mut trainer = Trainer::new(self.seed).reading_every(self.config.train.steps_between_reads(self.device));
        let (mut pace, start) = (Pace::default(), Instant::now());
        let mut batches = loader.stream(done..total);
        while let Some(batch) = pace.wait(|| batches.next()) {
            log.enter(trainer.step(model.baseline.as_mut(), &mut optimizer, &batch?)?, &bar);
            done += 1;
            bar.set_position(done as u64);
            if !self.is_stop(&schedule, done, total, interrupt) {
                continue;
            }
            // Nothing is made of a model whose last losses nobody has looked at.
            log.enter(trainer.read()?, &bar);
            let accumulated = self.accumulate(&schedule, done, &model, progress, interrupt);
            if accumulated.is_err() || (interrupt.asked() && done < total) {
                self.save(&path, done, &model, &optimizer, &log.history)?;
                bar.abandon_with_message("interrupted");
                interrupted_or(accumulated)?;
                return Err(Error::Interrupted(format!(
                    " after {done} of {total} steps of {}; {} holds them, --resume goes on",
                    self.title,
                    path.display()
                )));
            }
            if done < total && self.config.train.is_checkpoint(done) {
                self.save(&path, done, &model, &optimizer, &log.history)?;
            }
        }
        self.save(&path, done, &model, &optimizer, &log.history)?;
        bar.finish_and_clear();
        pace.elapsed = start.elapsed();
        let times = log.times.mean();
        Ok(TrainOutcome { model, history: log.history, times, pace, unreached: log.unreached })
    }

    // Whether there is something to do between this step and the next.
    fn is_stop(&self, schedule: &AccumulationSchedule, done: usize, total: usize, interrupt: &Interrupt) -> bool {
        let is_due = done == total || schedule.pass_after(done).is_some() || self.config.train.is_checkpoint(done);
        is_due || interrupt.asked()
    }

    /// Fails unless the checkpoint in the folder, if there is one, belongs to this job.
    ///
    /// # Errors
    /// Naming what differs, or when the checkpoint is unreadable.
    pub fn expect_resumable(&self) -> Result<()> {
        let path = self.folder.join(CHECKPOINT_FILE);
        if path.exists() { self.expect_own(&path, &Checkpoint::read(&path, self.device)?.info) } else { Ok(()) }
    }

    // At the end of an epoch, and before its checkpoint.
    fn accumulate(
        &self,
        schedule: &AccumulationSchedule,
        done: usize,
        model: &Model,
        progress: &Progress,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let Some(pass) = schedule.pass_after(done) else { return Ok(()) };
        let network = model.for_inference(self.config, self.regularizers, self.images.layout())?;
        let folder = attention_folder(self.folder);
        accumulate(&network, &self.images, self.config, pass, &folder, progress, interrupt)
    }

    fn info(&self, step: usize) -> Result<CheckpointInfo> {
        Ok(CheckpointInfo {
            format: FORMAT.to_string(),
            step,
            seed: self.seed,
            classes: self.images.class_names().to_vec(),
            images: images_of(&self.images),
            regularizers: self.regularizers.iter().map(|r| r.name().to_string()).collect(),
            config: self.config.to_toml()?,
        })
    }

    fn save(&self, path: &Path, step: usize, model: &Model, optimizer: &PolySgd, history: &[StepRecord]) -> Result<()> {
        let tensors = checkpoint::gather(step, &model.store, model.baseline.as_ref(), optimizer)?;
        // The curves first: a checkpoint is only ever as new as they are.
        write_history(&self.folder.join(METRICS_FILE), history)?;
        write_events(self.folder, history)?;
        checkpoint::write(path, tensors, &self.info(step)?)
    }

    fn take_up(&self, path: &Path, model: &mut Model, optimizer: &mut PolySgd) -> Result<(usize, Vec<StepRecord>)> {
        let saved = Checkpoint::read(path, self.device)?;
        let step = saved.info.step;
        self.expect_own(path, &saved.info)?;
        saved
            .restore(&model.store, model.baseline.as_mut(), optimizer)
            .map_err(|err| Error::data(path, err.to_string()))?;
        let metrics = self.folder.join(METRICS_FILE);
        let mut history = read_history(&metrics)?;
        if history.len() < step {
            let reason = format!("expected the {step} steps of {}, got {}", path.display(), history.len());
            return Err(Error::data(&metrics, reason));
        }
        history.truncate(step);
        Ok((step, history))
    }

    // Refuses to go on with a checkpoint of another run, and says what differs.
    fn expect_own(&self, path: &Path, saved: &CheckpointInfo) -> Result<()> {
        let own = self.info(saved.step)?;
        let list = |names: &[String]| if names.is_empty() { "none".to_string() } else { names.join(", ") };
        let parts = [
            ("seed", saved.seed.to_string(), own.seed.to_string()),
            ("list of regularizers", list(&saved.regularizers), list(&own.regularizers)),
            ("list of classes", list(&saved.classes), list(&own.classes)),
            ("list of images", saved.images.clone(), own.images),
        ];
        if let Some((what, before, now)) = parts.iter().find(|(_, before, now)| before != now) {
            return Err(another_run(path, what, before, now));
        }
        expect_same_config(path, &saved.config, self.config)
    }
}

/// A set of images in a few words, for telling it from another.
pub(crate) fn images_of(images: &ImageSet) -> String {
    format!("{}, {} to {}", images.len(), images.name(0), images.name(images.len() - 1))
}

// Being asked to stop is no failure of the accumulation: it is told like any other interruption.
fn interrupted_or(accumulated: Result<()>) -> Result<()> {
    match accumulated {
        Err(Error::Interrupted(_)) => Ok(()),
        other => other,
    }
}

fn write_history(path: &Path, history: &[StepRecord]) -> Result<()> {
    let mut text = String::new();
    for line in history {
        text.push_str(&serde_json::to_string(line).map_err(|err| Error::data(path, err.to_string()))?);
        text.push('\n');
    }
    write_atomic(path, |out| out.write_all(text.as_bytes()))
}

/// Reads loss curves.
///
/// # Errors
/// When the file is missing or a line is not what [`StepRecord`] says.
pub fn read_history(path: &Path) -> Result<Vec<StepRecord>> {
    let text = std::fs::read_to_string(path).map_err(Error::input(path, "loss curves"))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line).map_err(|err| Error::data(path, format!("line {}: {err}", number + 1)))
        })
        .collect()
}

impl Pace {
    fn wait<T>(&mut self, next: impl FnOnce() -> Option<T>) -> Option<T> {
        let start = Instant::now();
        let item = next();
        self.waiting += start.elapsed();
        self.steps += usize::from(item.is_some());
        item
    }
}
