//! [`compare`]: methods trained under the same budget, seeds and batches, and their seeds scored.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use candle_wsss::SeededSampler;
use candle_wsss::regularizer::RegularizerConfig;
use rayon::prelude::*;

use crate::config::RunConfig;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::attention::{attention_folder, seeds_from_attention};
use crate::run::job::TrainJob;
use crate::run::report::{CompareOutcome, Comparison, Unit, build_report};
use crate::run::seeds::{SeedFolder, SeedScores, infer_seeds, score_seeds};
use crate::run::{Interrupt, Progress};
use crate::train::StepTimes;

/// What to compare, and where to put it.
#[derive(Debug)]
pub struct CompareOptions<'a> {
    /// The configuration all methods share.
    pub config: &'a RunConfig,
    /// Images, labels, and the masks seeds are scored against.
    pub dataset: Arc<Dataset>,
    /// Name of the image list, for the report.
    pub split: &'a str,
    /// Methods: `none`, a regularizer, or several joined by `+`. Differences are to the first.
    pub methods: &'a [String],
    /// Trainings per method.
    pub repeats: usize,
    /// Trainings at a time.
    pub jobs: usize,
    /// The run's folder; it must exist.
    pub folder: &'a Path,
    /// Whether to take up what an earlier run left there.
    pub resume: bool,
}

/// Trains and scores every method and repeat, and writes the report.
///
/// The number of jobs decides how long it takes and nothing else: every training has one seed of its own, the same for
/// all methods.
///
/// # Errors
/// When the data is invalid, a method is not configured, a loss diverges, or the user interrupts.
pub fn compare(options: &CompareOptions<'_>, progress: &Progress, interrupt: &Interrupt) -> Result<CompareOutcome> {
    let plan = plan(options)?;
    expect_masks(&options.dataset)?;
    if options.resume {
        // All of them before any goes on: a refused comparison is left as it was.
        plan.iter().try_for_each(|planned| job(options, planned).expect_resumable())?;
    }
    let total_threads = rayon::current_num_threads();
    let jobs = options.jobs.clamp(1, plan.len().max(1));
    let threads = (total_threads / jobs).max(1);
    let queue: Mutex<VecDeque<usize>> = Mutex::new((0..plan.len()).collect());
    let done: Mutex<Vec<Option<Result<Unit>>>> = Mutex::new((0..plan.len()).map(|_| None).collect());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some(next) = next else { break };
                    let outcome = in_pool(threads, || run_unit(options, &plan[next], progress, interrupt));
                    if outcome.is_err() {
                        // The others stop at their next step, with their work saved.
                        interrupt.ask();
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner)[next] = Some(outcome);
                }
            });
        }
    });
    let outcomes = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let units = collect(outcomes, options.folder)?;
    build_report(options, &Comparison { units })
}

/// Checks what to compare before anything is made for it.
///
/// # Errors
/// When a method is not configured or comes twice, or there are no repeats.
pub fn check_plan(config: &RunConfig, methods: &[String], repeats: usize) -> Result<()> {
    config.validate()?;
    if repeats == 0 {
        return Err(Error::Config("--repeats: must be at least 1, is 0".to_string()));
    }
    if methods.is_empty() {
        return Err(Error::Config("--regularizers: must name at least one method".to_string()));
    }
    for (index, method) in methods.iter().enumerate() {
        config.method(method)?;
        if methods[..index].contains(method) {
            return Err(Error::Config(format!("--regularizers: method `{method}` comes twice")));
        }
    }
    Ok(())
}

// All of them are read: a bad one should not show after the last training.
pub(crate) fn expect_masks(dataset: &Dataset) -> Result<()> {
    let read: Vec<Result<()>> = (0..dataset.len()).into_par_iter().map(|index| dataset.mask(index).map(drop)).collect();
    read.into_iter().collect()
}

/// One training to do.
pub(crate) struct Planned {
    pub(crate) method: String,
    pub(crate) regularizers: Vec<RegularizerConfig>,
    pub(crate) repeat: usize,
    pub(crate) seed: u64,
    pub(crate) folder: PathBuf,
}

fn plan(options: &CompareOptions<'_>) -> Result<Vec<Planned>> {
    check_plan(options.config, options.methods, options.repeats)?;
    let mut plan = Vec::new();
    // Repeats outermost: after a while there is one of everything, and a mistake in a method shows early.
    for repeat in 0..options.repeats {
        for method in options.methods {
            let folder = options.folder.join(format!("{}-r{repeat}", title(options, method)));
            plan.push(Planned {
                method: method.clone(),
                regularizers: options.config.method(method)?,
                repeat,
                seed: repeat_seed(options.config.seed, repeat),
                folder,
            });
        }
    }
    Ok(plan)
}

/// Name of a method with its baseline: `seam`, `seam+hsc`.
pub(crate) fn title(options: &CompareOptions<'_>, method: &str) -> String {
    let baseline = options.config.baseline.name();
    if method == "none" { baseline.to_string() } else { format!("{baseline}+{method}") }
}

/// Seed of a repeat, the same for every method. The first is the run's own, so that a comparison of one repeat is what
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

fn run_unit(
    options: &CompareOptions<'_>,
    planned: &Planned,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Unit> {
    if interrupt.asked() {
        return Err(Error::Interrupted(String::new()));
    }
    let folder = &planned.folder;
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let outcome = train_and_score(options, planned, progress, interrupt).map_err(|err| match err {
        Error::Diverged { step, what, value } => {
            Error::Diverged { step, what: format!("{what} of {}", unit_title(options, planned)), value }
        }
        err => err,
    });
    if outcome.is_err() {
        // Goes only if it is empty, which is what it is for; the error that led here is the one to show.
        drop(std::fs::remove_dir(folder));
    }
    outcome
}

fn unit_title(options: &CompareOptions<'_>, planned: &Planned) -> String {
    format!("{} #{}", title(options, &planned.method), planned.repeat + 1)
}

fn job<'a>(options: &CompareOptions<'a>, planned: &'a Planned) -> TrainJob<'a> {
    TrainJob {
        config: options.config,
        regularizers: &planned.regularizers,
        title: unit_title(options, planned),
        images: Arc::clone(options.dataset.images()),
        seed: planned.seed,
        folder: &planned.folder,
        device: &Device::Cpu,
    }
}

fn train_and_score(
    options: &CompareOptions<'_>,
    planned: &Planned,
    progress: &Progress,
    interrupt: &Interrupt,
) -> Result<Unit> {
    let outcome = job(options, planned).run(options.resume, progress, interrupt)?;
    let seeds = planned.folder.join("seeds");
    let score = options.config.eval.background_score;
    let images = options.dataset.images();
    if options.config.accumulate.makes_seeds() {
        let out = SeedFolder { path: &seeds, background_score: score, resume: options.resume };
        seeds_from_attention(&attention_folder(&planned.folder), images, &out, progress, interrupt)?;
    } else {
        let network = outcome.model.for_inference(options.config, &planned.regularizers, options.dataset.layout())?;
        infer_seeds(network.as_ref(), images, options.config, score, &seeds, options.resume, progress, interrupt)?;
    }
    let scores: SeedScores = score_seeds(&seeds, &options.dataset, &options.config.eval)?;
    Ok(Unit {
        method: planned.method.clone(),
        title: title(options, &planned.method),
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
