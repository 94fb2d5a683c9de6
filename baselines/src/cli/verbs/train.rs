//! `wsss train`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{ConfigSource, DataArgs, DeviceArgs};
use crate::cli::shared::{load, say, typed, write_text};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::{
    CHECKPOINT_FILE, CONFIG_FILE, Interrupt, METRICS_FILE, Progress, REPORT_FILE, TrainJob, TrainOutcome,
    discard_unstarted, open_folder, read_history, settle_config, training_page,
};

/// `wsss train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Baseline by its name in the configuration's [baselines]; the configured one without it
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Regularizers on the baseline: none, a name of the configuration, or several joined by +
    #[arg(long, default_value = "none", value_name = "METHOD")]
    pub regularizers: String,
    /// Go on from the checkpoint in the folder
    #[arg(long)]
    pub resume: bool,
    /// Device
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Configuration
    #[command(flatten)]
    pub source: ConfigSource,
}

pub(in crate::cli) fn run(args: &TrainArgs, progress: &Progress) -> Result<()> {
    let config = load(&args.source, args.baseline.as_ref())?;
    let regularizers = config.method(&args.regularizers)?;
    let device = args.device.open()?;
    let images = Dataset::open_images_from(&args.data.source()?)?;
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
        device: &device,
    };
    let outcome = job.run(args.resume, progress, &interrupt).map_err(|err| stopped(&job, err))?;
    write_page(&job, Some(&outcome))?;
    let last = outcome.history.last().and_then(|record| record.total);
    say(&format!(
        "{} steps, loss {}; {}",
        outcome.history.len(),
        last.map_or_else(|| "undefined".to_string(), |loss| format!("{loss:.4}")),
        args.out.join(CHECKPOINT_FILE).display()
    ))
}

// What there is by then is shown when the user stopped it; a page that fails must not hide why there is no more.
fn stopped(job: &TrainJob<'_>, err: Error) -> Error {
    if !discard_unstarted(job.folder, &[]) && matches!(err, Error::Interrupted(_)) {
        drop(write_page(job, None));
    }
    err
}

fn write_page(job: &TrainJob<'_>, outcome: Option<&TrainOutcome>) -> Result<()> {
    let read;
    let history = match outcome {
        Some(outcome) => &outcome.history,
        None => {
            read = read_history(&job.folder.join(METRICS_FILE))?;
            &read
        }
    };
    let mut page = training_page(job, history, outcome)?;
    page.reproduce.push(typed());
    write_text(&job.folder.join(REPORT_FILE), &page.to_html()?)
}
