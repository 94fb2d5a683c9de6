//! One training step of the small SEAM, with and without each method: `cargo bench --bench step`.
//!
//! All are stepped in turns in one process, so that a busy machine slows both down. Images and labels are random, the
//! start is random: what a step costs depends on neither.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use candle_wsss::{ClassLayout, ImageLabels, Pair, Progress, Sampler, SeededSampler, View};
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::data::{Batch, LoaderConfig};
use candle_wsss_baselines::report::{Align, Table};
use candle_wsss_baselines::run::{Model, build};
use candle_wsss_baselines::synth::SynthConfig;
use candle_wsss_baselines::train::{PolySgd, StepTimes, Trainer};
use candle_wsss_baselines::{Error, Result};

/// As the program: with glibc's allocator elementwise work is several times slower.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Time for the steps of one number of threads.
const BUDGET: Duration = Duration::from_secs(60);
const MOST_ROUNDS: usize = 40;
const WARM_UP_ROUNDS: usize = 2;
/// So late that every term takes part.
const EPOCH: usize = 10;
/// The bare baseline first: shares are of what a method adds to it.
const METHODS: [&str; 5] = ["none", "hsc", "ppc", "rca", "pss"];

/// Settings the program makes for itself, because they can only be made before a process starts.
const SETTINGS: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("MIMALLOC_PURGE_DELAY", "-1")];

fn main() -> Result<()> {
    if SETTINGS.iter().any(|(name, _)| std::env::var_os(name).is_none()) {
        let path = std::env::current_exe().map_err(Error::io("bench"))?;
        let status = std::process::Command::new(&path).envs(SETTINGS).status().map_err(Error::io(&path))?;
        std::process::exit(status.code().unwrap_or(1));
    }
    let mut config = RunConfig::builtin("embedded")?;
    config.weights = Some("none".to_string());
    // Numbers must stay numbers for as long as it takes, and an update costs the same at any rate.
    config.optimizer.learning_rate = 1e-9;
    let LoaderConfig { batch_size, crop, .. } = config.loader;
    let target = config.loader.target_view.side(crop);
    println!(
        "Batches of {batch_size}, crops of {crop}, target views of {target}, float32, medians in ms; on a busy machine trust the fastest.\n"
    );

    let (number, text) = (Align::Right, Align::Left);
    let columns =
        ["rounds", "step", "fastest", "forward", "loss terms", "backward", "update"].map(|name| (name, number));
    let mut table = Table::new([("threads", number), ("method", text)].into_iter().chain(columns));
    let mut shares = Vec::new();
    let all = rayon::current_num_threads();
    for threads in if all > 1 { vec![1, all] } else { vec![1] } {
        // As wide a stack as the program's: backward walks the graph recursively.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(64 << 20).build();
        let pool = pool.map_err(|err| candle_wsss::Error::value("threads", err.to_string()))?;
        let times = pool.install(|| measure(&config))?;
        let steps = times.each_ref().map(|times| median(times.iter().map(total)));
        let fastest = times.each_ref().map(|times| times.iter().map(total).min().unwrap_or_default());
        for (index, (method, times)) in METHODS.iter().zip(&times).enumerate() {
            let part = |part: fn(&StepTimes) -> Duration| milliseconds(median(times.iter().map(part)));
            let parts = [part(|t| t.forward), part(|t| t.objective), part(|t| t.backward), part(|t| t.update)];
            let name = if *method == "none" { "seam".to_string() } else { format!("seam+{method}") };
            let head = [threads.to_string(), name, times.len().to_string()];
            let head = head.into_iter().chain([steps[index], fastest[index]].map(milliseconds));
            table.push(head.chain(parts));
        }
        let threads = if threads == 1 { "1 thread".to_string() } else { format!("{threads} threads") };
        let shortest = fastest[0];
        for (method, (step, fastest)) in METHODS.iter().zip(steps.iter().zip(&fastest)).skip(1) {
            let (by_median, by_fastest) = (share([steps[0], *step]), share([shortest, *fastest]));
            shares.push(format!(
                "Share of {method} on {threads}: {by_median:.1} % of the step, {by_fastest:.1} % of the fastest."
            ));
        }
    }
    println!("{}\n{}", table.to_markdown(), shares.join("\n"));
    Ok(())
}

// Times of the steps of each method, taken in turns.
fn measure(config: &RunConfig) -> Result<[Vec<StepTimes>; METHODS.len()]> {
    let layout = ClassLayout::new(SynthConfig::default().classes)?;
    let mut runs = Vec::new();
    for method in METHODS {
        let model = build(config, &config.method(method)?, layout, config.seed, &Device::Cpu)?;
        let optimizer = PolySgd::new(config.optimizer.clone(), model.baseline.as_ref(), &model.store, MOST_ROUNDS)?;
        runs.push((model, optimizer, Trainer::new(config.seed)));
    }
    let mut times = [const { Vec::new() }; METHODS.len()];
    let mut clock = Instant::now();
    for round in 0..WARM_UP_ROUNDS + MOST_ROUNDS {
        if round == WARM_UP_ROUNDS {
            clock = Instant::now();
        } else if clock.elapsed() > BUDGET {
            break;
        }
        let batch = batch(&config.loader, layout, round)?;
        // Who comes after whom matters to the caches, so the order turns.
        for method in (0..METHODS.len()).map(|place| (place + round) % METHODS.len()) {
            let (Model { baseline, .. }, optimizer, trainer) = &mut runs[method];
            let reports = trainer.step(baseline.as_mut(), optimizer, &batch)?;
            if round >= WARM_UP_ROUNDS {
                times[method].extend(reports.iter().map(|report| report.times));
            }
        }
    }
    Ok(times)
}

// Noise, with one or two classes an image.
fn batch(config: &LoaderConfig, layout: ClassLayout, step: usize) -> Result<Batch> {
    let draws = SeededSampler::new(0).child(&format!("batch/{step}"));
    let count = config.batch_size;
    let sides = Pair::new(config.crop, config.target_view.side(config.crop));
    let views = sides.try_map(|side| {
        let noise = draws.child(&format!("image/{side}")).normal(count * 3 * side * side)?;
        View::new(Tensor::from_vec(noise, (count, 3, side, side), &Device::Cpu)?.to_dtype(DType::F32)?)
    })?;
    let classes = layout.num_foreground();
    let present = (0..count).map(|image| draws.child(&format!("label/{image}")).distinct(classes, 1 + image % 2));
    let present = present.collect::<candle_wsss::Result<Vec<_>>>()?;
    let labels = ImageLabels::new(present, layout, DType::F32, &Device::Cpu)?;
    let names = (0..count).map(|image| image.to_string()).collect();
    Ok(Batch { views, labels, names, progress: Progress { step, epoch: EPOCH, is_epoch_start: false } })
}

// (with - without) / with, in percent.
fn share([without, with]: [Duration; 2]) -> f64 {
    100.0 * (1.0 - without.as_secs_f64() / with.as_secs_f64())
}

fn total(times: &StepTimes) -> Duration {
    times.forward + times.objective + times.backward + times.update
}

fn median(times: impl Iterator<Item = Duration>) -> Duration {
    let mut times: Vec<Duration> = times.collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1e3)
}
