//! [`compare`]: methods trained under the same budget, seeds and batches, and their seeds scored.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use candle_core::Device;
use candle_wsss::SeededSampler;
use candle_wsss::regularizer::RegularizerConfig;
use rayon::prelude::*;

use crate::config::RunConfig;
use crate::data::{Dataset, ImageSet};
use crate::error::{Error, Result};
use crate::run::attention::{attention_folder, attention_seeds_of};
use crate::run::in_turn::SpareThreads;
use crate::run::job::TrainJob;
use crate::run::plan::{Plan, check_plan};
use crate::run::report::{CompareOutcome, Comparison, Unit, build_report};
use crate::run::seed_job::{SeedFolder, SeedJob};
use crate::run::seeds::{SeedScores, infer_seeds_of, score_seeds};
use crate::run::{Interrupt, Progress};
use crate::train::StepTimes;

/// What to compare, and where to put it.
#[derive(Debug)]
pub struct CompareOptions<'a> {
    /// The configuration all methods share.
    pub config: &'a RunConfig,
    /// Images and labels of the training.
    pub training: Arc<ImageSet>,
    /// Name of their list, for the report.
    pub training_split: &'a str,
    /// Images seeds are made of, and the masks they are scored against.
    pub dataset: Arc<Dataset>,
    /// Name of the data set for the report; without it, that of its folder.
    pub dataset_name: Option<&'a str>,
    /// Name of their list, for the report.
    pub split: &'a str,
    /// Baselines by the names [`RunConfig::with_baseline`] knows; none means the configured one.
    pub baselines: &'a [String],
    /// Methods: `none`, a regularizer, or several joined by `+`. Differences are to the first on the same baseline.
    pub methods: &'a [String],
    /// Trainings per method and baseline.
    pub repeats: usize,
    /// Trainings at a time; one, whatever this says, where not the CPU computes.
    pub jobs: usize,
    /// Where to compute.
    pub device: &'a Device,
    /// The run's folder; it must exist.
    pub folder: &'a Path,
    /// Whether to take up what an earlier run left there.
    pub resume: bool,
}

/// Trains and scores every method on every baseline, repeat by repeat, and puts the report together.
///
/// The number of jobs decides how long it takes and nothing else: every training has one seed of its own, the same for
/// all methods and baselines. A method that cannot be built on a baseline is left out and reported, unless it is all
/// there is.
///
/// # Errors
/// When the data is invalid, a method or baseline is not configured, a loss diverges, or the user interrupts.
pub fn compare(options: &CompareOptions<'_>, progress: &Progress, interrupt: &Interrupt) -> Result<CompareOutcome> {
    check_plan(options.config, options.baselines, options.methods, options.repeats)?;
    expect_masks(&options.dataset)?;
    let plan = Plan::new(options.config, options.baselines, options.methods)?;
    expect_seeds_possible(options, &plan)?;
    let plan = plan.buildable(&options.training, progress, interrupt)?;
    for left_out in &plan.left_out {
        progress.note(&format!("left out: {} on {}: {}", left_out.method, left_out.baseline, left_out.reason));
    }
    let trainings = trainings(options, &plan);
    if options.resume {
        // All of them before any goes on: a refused comparison is left as it was.
        trainings.iter().try_for_each(|planned| planned.job(options).expect_resumable())?;
    }
    let total_threads = rayon::current_num_threads();
    // Trainings beside each other would share one device, and its memory.
    let jobs = if options.device.is_cpu() { options.jobs.clamp(1, trainings.len().max(1)) } else { 1 };
    let threads = (total_threads / jobs).max(1);
    let spare = SpareThreads::default();
    spare.offer(total_threads.saturating_sub(jobs * threads));
    let queue: Mutex<VecDeque<usize>> = Mutex::new(long_ones_first(&trainings).into());
    let done: Mutex<Vec<Option<Result<Unit>>>> = Mutex::new((0..trainings.len()).map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(next) = next else { break };
                    let work = Work { options, spare: &spare, progress, interrupt };
                    let outcome = in_pool(threads, || run_unit(&work, &trainings[next]));
                    if outcome.is_err() {
                        // The others stop at their next step, with their work saved.
                        interrupt.ask();
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner)[next] = Some(outcome);
                }
                // Seeds of the others are made by all who are free.
                spare.offer(threads);
            });
        }
    });
    let outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let units = collect(outcomes, options.folder)?;
    build_report(options, &Comparison { plan: &plan, units })
}

// All of them are read: a bad one should not show after the last training.
pub(crate) fn expect_masks(dataset: &Dataset) -> Result<()> {
    let read: Vec<Result<()>> = (0..dataset.len()).into_par_iter().map(|index| dataset.mask(index).map(drop)).collect();
    read.into_iter().collect()
}

// What trained networks cannot know: other classes, and attention to images they never saw.
fn expect_seeds_possible(options: &CompareOptions<'_>, plan: &Plan) -> Result<()> {
    let (training, evaluated) = (&options.training, options.dataset.images());
    if training.class_names() != evaluated.class_names() {
        let (expected, got) = (training.class_names().join(", "), evaluated.class_names().join(", "));
        let reason = format!("expected the classes of the training ({expected}), got {got}");
        return Err(Error::data(evaluated.root(), reason));
    }
    if !plan.columns.iter().any(|column| column.config.accumulate.makes_seeds()) {
        return Ok(());
    }
    let seen: BTreeSet<&str> = (0..training.len()).map(|index| training.name(index)).collect();
    match (0..evaluated.len()).map(|index| evaluated.name(index)).find(|name| !seen.contains(name)) {
        None => Ok(()),
        Some(name) => Err(Error::Config(format!(
            "--eval-split {}: image {name} is not in the training split {}, and attention is accumulated over that alone",
            options.split, options.training_split
        ))),
    }
}

/// One training to do.
struct Planned<'a> {
    /// Index in the plan.
    cell: usize,
    plan: &'a Plan,
    repeat: usize,
    seed: u64,
    folder: PathBuf,
    /// Which training of how many, for progress.
    place: String,
}

fn trainings<'a>(options: &CompareOptions<'_>, plan: &'a Plan) -> Vec<Planned<'a>> {
    let mut trainings = Vec::new();
    let total = options.repeats * plan.cells.len();
    // Repeats outermost: after a while there is one of everything, and a mistake in a method shows early.
    for repeat in 0..options.repeats {
        for (cell, of) in plan.cells.iter().enumerate() {
            trainings.push(Planned {
                cell,
                plan,
                repeat,
                seed: repeat_seed(options.config.seed, repeat),
                folder: options.folder.join(format!("{}-r{repeat}", of.title)),
                place: format!("{} of {total}", trainings.len() + 1),
            });
        }
    }
    trainings
}

/// Within a repeat, what is likely to take longest comes first: the last to end is then a short one. In the report
/// everything stands where it stood.
fn long_ones_first(trainings: &[Planned<'_>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trainings.len()).collect();
    order.sort_by_key(|index| (trainings[*index].repeat, Reverse(trainings[*index].regularizers().len())));
    order
}

impl<'a> Planned<'a> {
    fn title(&self) -> String {
        format!("{} #{}", self.plan.cells[self.cell].title, self.repeat + 1)
    }

    fn config(&self) -> &'a RunConfig {
        self.plan.config(self.cell)
    }

    fn regularizers(&self) -> &'a [RegularizerConfig] {
        &self.plan.cells[self.cell].regularizers
    }

    fn job<'b>(&'b self, options: &CompareOptions<'b>) -> TrainJob<'b> {
        TrainJob {
            config: self.config(),
            regularizers: self.regularizers(),
            title: self.title(),
            images: Arc::clone(&options.training),
            seed: self.seed,
            folder: &self.folder,
            device: options.device,
        }
    }
}

/// Seed of a repeat, the same for every method and baseline. The first is the run's own, so that a comparison of one repeat is what
/// `wsss train` does with the same configuration.
fn repeat_seed(seed: u64, repeat: usize) -> u64 {
    if repeat == 0 {
        return seed;
    }
    // Through the sampler, so that neighbouring seeds do not share repeats; of 53 bits, so that it can be read out of
    // the JSON file and typed as `--set seed=`, which takes 63.
    SeededSampler::new(seed).child(&format!("repeat/{repeat}")).key() >> 11
}

fn in_pool<T: Send>(threads: usize, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        // Backward walks the graph recursively.
        .stack_size(64 << 20)
        .build()
        .map_err(|err| Error::Config(format!("thread pool of {threads}: {err}")))?;
    pool.install(work)
}

/// What all trainings share.
struct Work<'a> {
    options: &'a CompareOptions<'a>,
    spare: &'a SpareThreads,
    progress: &'a Progress,
    interrupt: &'a Interrupt,
}

fn run_unit(work: &Work<'_>, planned: &Planned<'_>) -> Result<Unit> {
    if work.interrupt.asked() {
        return Err(Error::Interrupted(String::new()));
    }
    let folder = &planned.folder;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let outcome = train_and_score(work, planned).map_err(|err| match err {
        Error::Diverged { step, what, value } => {
            Error::Diverged { step, what: format!("{what} of {}", planned.title()), value }
        }
        err => err,
    });
    if outcome.is_err() {
        // Goes only if it is empty, which is what it is for; the error that led here is the one to show.
        drop(std::fs::remove_dir(folder));
    }
    outcome
}

fn train_and_score(work: &Work<'_>, planned: &Planned<'_>) -> Result<Unit> {
    let Work { options, spare, progress, interrupt } = *work;
    let (start, config, cell) = (Instant::now(), planned.config(), &planned.plan.cells[planned.cell]);
    let outcome = planned.job(options).run(options.resume, progress, interrupt)?;
    progress.done(&planned.place, &planned.title(), &format!("trained, {} steps", outcome.history.len()), start);
    let start = Instant::now();
    let seeds = planned.folder.join("seeds");
    let score = config.eval.background_score;
    let images = options.dataset.images();
    let out = SeedFolder { path: &seeds, background_score: score, resume: options.resume };
    let job = SeedJob { spare: Some(spare), ..SeedJob::new(images, out) };
    if config.accumulate.makes_seeds() {
        attention_seeds_of(&job, &attention_folder(&planned.folder), progress, interrupt)?;
    } else {
        let network = outcome.model.for_inference(config, &cell.regularizers, options.dataset.layout())?;
        infer_seeds_of(&job, &network, config, progress, interrupt)?;
    }
    progress.done(&planned.place, &planned.title(), &format!("seeds of {} images", images.len()), start);
    let scores: SeedScores = score_seeds(&seeds, &options.dataset, &config.eval)?;
    Ok(Unit {
        cell: planned.cell,
        title: cell.title.clone(),
        repeat: planned.repeat,
        seed: planned.seed,
        seeds,
        history: outcome.history,
        scores,
        unreached: outcome.unreached,
        times: outcome.times,
    })
}

// The first real failure, rather than the interruption it caused in the others.
fn collect(outcomes: Vec<Option<Result<Unit>>>, folder: &Path) -> Result<Vec<Unit>> {
    let (planned, mut units) = (outcomes.len(), Vec::new());
    for outcome in outcomes {
        match outcome {
            Some(Ok(unit)) => units.push(unit),
            Some(Err(Error::Interrupted(_))) | None => {}
            Some(Err(err)) => return Err(err),
        }
    }
    if units.len() == planned {
        return Ok(units);
    }
    Err(Error::Interrupted(format!(
        " with {} of {planned} trainings finished; {} holds them and what was learnt of those begun, --resume goes on",
        units.len(),
        folder.display()
    )))
}

/// Mean time of a step over the units of a method that trained in this process.
pub(crate) fn mean_times(units: &[&Unit]) -> Option<StepTimes> {
    let trained: Vec<&StepTimes> = units.iter().map(|unit| &unit.times).filter(|t| !t.forward.is_zero()).collect();
    let count = u32::try_from(trained.len()).ok().filter(|count| *count > 0)?;
    let mean = |pick: fn(&StepTimes) -> std::time::Duration| {
        trained.iter().map(|t| pick(t)).sum::<std::time::Duration>() / count
    };
    Some(StepTimes {
        forward: mean(|t| t.forward),
        objective: mean(|t| t.objective),
        backward: mean(|t| t.backward),
        update: mean(|t| t.update),
    })
}
