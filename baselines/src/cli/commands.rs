//! One function per command.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use candle_core::Device;

use crate::accumulate::AttentionInfo;
use crate::cli::args::{
    Cli, Command, CompareArgs, ConfigArgs, ConfigSource, EvalArgs, PretrainArgs, SeedsArgs, SynthArgs, TrainArgs,
};
use crate::config::{EvalConfig, RunConfig};
use crate::data::{Dataset, write_atomic};
use crate::error::{Error, Result};
use crate::run::{
    CHECKPOINT_FILE, CONFIG_FILE, CompareOptions, CompareOutcome, Interrupt, Progress, SEED_ARRAYS, SeedFolder,
    TrainJob, check_plan, compare, discard_unstarted, evaluation, expect_writable, from_checkpoint, infer_seeds,
    open_folder, pretrain, score_seeds, seeds_from_attention, settle_config,
};
use crate::settings;
use crate::synth::{self, SynthConfig};
use crate::train::checkpoint::Checkpoint;

/// Folder of the embedded data set inside a comparison's folder.
const SYNTH_FOLDER: &str = "data";

pub(super) fn run(cli: Cli) -> Result<()> {
    let progress = Progress::new(cli.quiet);
    match cli.command {
        Command::Synth(args) => run_synth(&args, &progress),
        Command::Pretrain(args) => run_pretrain(&args, &progress),
        Command::Train(args) => run_train(&args, &progress),
        Command::Seeds(args) => run_seeds(&args, &progress),
        Command::Eval(args) => run_eval(&args),
        Command::Compare(args) => run_compare(&args, &progress),
        Command::Config(args) => run_config(&args),
    }
}

fn load(source: &ConfigSource, baseline: Option<&String>) -> Result<RunConfig> {
    let config = RunConfig::load(&source.config, &source.settings)?;
    baseline.map_or_else(|| Ok(config.as_configured()), |name| config.with_baseline(name))
}

fn say(text: &str) -> Result<()> {
    // Not println!: a closed pipe is no reason to panic.
    let mut out = std::io::stdout().lock();
    let text = if text.ends_with('\n') { text.to_string() } else { format!("{text}\n") };
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Error::io("stdout"))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, |out| out.write_all(text.as_bytes()))
}

fn generate(base: &SynthConfig, settings: &[String], out: &Path, progress: &Progress) -> Result<()> {
    let config: SynthConfig = settings::on_top(base, "generator", settings)?;
    let bar = progress.bar("embedded data", config.train + config.val);
    synth::generate(&config, out, &mut |done, _total| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(())
}

fn run_synth(args: &SynthArgs, progress: &Progress) -> Result<()> {
    generate(&SynthConfig::default(), &args.settings, &args.out, progress)?;
    say(&format!("wrote {}", args.out.display()))
}

fn run_pretrain(args: &PretrainArgs, progress: &Progress) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.settings)?;
    expect_writable(&args.out)?;
    let interrupt = Interrupt::on_signal()?;
    // Held to the end: dropping it removes the folder.
    let made;
    let root = match &args.data {
        Some(root) => root.clone(),
        None => {
            made = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
            let root = made.path().join(SYNTH_FOLDER);
            generate(&pretraining_data(), &args.synth_settings, &root, progress)?;
            root
        }
    };
    let images = Dataset::open_images(&root, &args.split)?;
    let summary = pretrain(&config, images, &args.out, progress, &interrupt)?;
    say(&format!(
        "wrote {} ({:.2} MB) after {} steps; classification loss {:.3} at first, {:.3} at last",
        args.out.display(),
        summary.bytes as f64 / 1e6,
        summary.steps,
        summary.first_loss,
        summary.last_loss
    ))
}

fn run_train(args: &TrainArgs, progress: &Progress) -> Result<()> {
    let config = load(&args.source, args.baseline.as_ref())?;
    let regularizers = config.method(&args.regularizers)?;
    let images = Dataset::open_images(&args.data, &args.split)?;
    let interrupt = Interrupt::on_signal()?;
    open_folder(&args.out, args.resume, CONFIG_FILE)?;
    settle_config(&args.out, &config, args.resume)?;
    let job = TrainJob {
        config: &config,
        regularizers: &regularizers,
        title: args.regularizers.clone(),
        images,
        seed: config.seed,
        folder: &args.out,
        device: &Device::Cpu,
    };
    let outcome = job.run(args.resume, progress, &interrupt).inspect_err(|_| {
        discard_unstarted(&args.out, &[]);
    })?;
    let last = outcome.history.last().and_then(|record| record.total);
    say(&format!(
        "{} steps, loss {}; {}",
        outcome.history.len(),
        last.map_or_else(|| "undefined".to_string(), |loss| format!("{loss:.4}")),
        args.out.join(CHECKPOINT_FILE).display()
    ))
}

fn run_seeds(args: &SeedsArgs, progress: &Progress) -> Result<()> {
    if let Some(score) = args.background_score.filter(|score| !(score.is_finite() && *score >= 0.0)) {
        return Err(Error::Config(format!("--background-score: must be 0 or more, is {score}")));
    }
    let checkpoint = Checkpoint::read(&args.checkpoint, &Device::Cpu)?;
    let (model, config) = from_checkpoint(&checkpoint, &args.checkpoint)?;
    let images = Dataset::open_images(&args.data, &args.split)?;
    if images.class_names() != checkpoint.info.classes {
        return Err(Error::data(
            &args.data,
            format!(
                "expected the classes of the checkpoint ({}), got {}",
                checkpoint.info.classes.join(", "),
                images.class_names().join(", ")
            ),
        ));
    }
    let interrupt = Interrupt::on_signal()?;
    if let Some(attention) = &args.attention {
        AttentionInfo::expect(attention)?;
    }
    open_folder(&args.out, args.resume, SEED_ARRAYS)?;
    let score = args.background_score.unwrap_or(config.eval.background_score);
    if let Some(attention) = &args.attention {
        let out = SeedFolder { path: &args.out, background_score: score, resume: args.resume };
        seeds_from_attention(attention, &images, &out, progress, &interrupt)?;
    } else {
        infer_seeds(model.as_ref(), &images, &config, score, &args.out, args.resume, progress, &interrupt)?;
    }
    say(&format!("wrote seeds of {} images to {}", images.len(), args.out.display()))
}

fn run_eval(args: &EvalArgs) -> Result<()> {
    let config = load(&args.source, args.baseline.as_ref())?.eval;
    let config = EvalConfig { background_score: args.background_score.unwrap_or(config.background_score), ..config };
    config.validate().map_err(|err| err.within("eval"))?;
    let dataset = Dataset::open(&args.data, &args.split)?;
    let scores = score_seeds(&args.seeds, &dataset, &config)?;
    let report = evaluation(&dataset, &args.split, &scores.curve, &config)?;
    say(&if args.json { report.to_json()? } else { report.to_text(args.per_class)? })
}

fn run_compare(args: &CompareArgs, progress: &Progress) -> Result<()> {
    let config = RunConfig::load(&args.source.config, &args.source.settings)?;
    check_plan(&config, &args.baselines, &args.regularizers, args.repeats)?;
    // Before a folder is made; what is made below is not there yet.
    let given = args.data.as_ref().map(|root| Dataset::open(root, &args.split)).transpose()?;
    let interrupt = Interrupt::on_signal()?;
    open_folder(&args.out, args.resume, CONFIG_FILE)?;
    let outcome = settle_config(&args.out, &config, args.resume)
        .and_then(|()| match given {
            Some(dataset) => Ok(dataset),
            None => made_data(args, progress),
        })
        .and_then(|dataset| {
            let options = CompareOptions {
                config: &config,
                dataset: Arc::new(dataset),
                dataset_name: args.synth.then_some("embedded data"),
                split: &args.split,
                baselines: &args.baselines,
                methods: &args.regularizers,
                repeats: args.repeats,
                jobs: args.jobs.unwrap_or_else(rayon::current_num_threads),
                folder: &args.out,
                resume: args.resume,
            };
            compare(&options, progress, &interrupt)
        });
    match outcome {
        Ok(outcome) => write_results(args, outcome),
        Err(err) => {
            let worthless: &[&str] = if args.synth { &[SYNTH_FOLDER] } else { &[] };
            match (discard_unstarted(&args.out, worthless), err) {
                (true, Error::Interrupted(_)) => Err(Error::Interrupted("; nothing was kept".to_string())),
                (_, err) => Err(err),
            }
        }
    }
}

fn made_data(args: &CompareArgs, progress: &Progress) -> Result<Dataset> {
    let root = args.out.join(SYNTH_FOLDER);
    if !(args.resume && root.is_dir()) {
        generate(&SynthConfig::default(), &args.synth_settings, &root, progress)?;
    }
    Dataset::open(&root, &args.split)
}

fn write_results(args: &CompareArgs, outcome: CompareOutcome) -> Result<()> {
    let CompareOutcome { mut report, timings } = outcome;
    let json = report.to_json()?;
    let text = report.to_text(args.per_class)?;
    write_text(&args.out.join("results.json"), &json)?;
    write_text(&args.out.join("table.txt"), &text)?;
    // After the numbers were written: times and folders belong into the page, not into what two runs must agree on.
    report.environment.extend(timings);
    report.reproduce.push(std::env::args().collect::<Vec<_>>().join(" "));
    let page = args.out.join("report.html");
    report.write_html(&page)?;
    if args.json { say(&json) } else { say(&format!("{text}\nreport: {}", page.display())) }
}

fn run_config(args: &ConfigArgs) -> Result<()> {
    let config = RunConfig::load(&args.source.config, &args.source.settings)?;
    let config = args.baseline.as_ref().map_or_else(|| Ok(config.clone()), |name| config.with_baseline(name))?;
    say(&config.to_toml()?)
}

// Other classes, another seed: nothing of the data a start is later tried on.
fn pretraining_data() -> SynthConfig {
    SynthConfig { family: 1, seed: 1_000_001, classes: 12, train: 2400, val: 8, ..SynthConfig::default() }
}
