//! `wsss compare`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::args::{ConfigSource, PlacesArgs};
use crate::cli::shared::{SYNTH_FOLDER, generate, say, write_text};
use crate::config::RunConfig;
use crate::data::{DataSource, Dataset};
use crate::error::{Error, Result};
use crate::run::{
    CONFIG_FILE, CompareOptions, CompareOutcome, Interrupt, Progress, check_plan, compare, discard_unstarted,
    open_folder, settle_config,
};
use crate::synth::SynthConfig;

/// `wsss compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Data set in PASCAL VOC layout
    #[arg(long, value_name = "DIR", required_unless_present = "synth", conflicts_with = "synth")]
    pub data: Option<PathBuf>,
    /// Make the embedded data set inside the run folder and use it
    #[arg(long)]
    pub synth: bool,
    /// Change one field of the generator, as in `--synth-set train=200`; may come several times
    #[arg(long = "synth-set", value_name = "KEY=VALUE", requires = "synth")]
    pub synth_settings: Vec<String>,
    /// Image list to train on, and to score seeds on
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Where its parts are
    #[command(flatten)]
    pub places: PlacesArgs,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Baselines, commas between them: names of the configuration's [baselines]; the configured one without it
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub baselines: Vec<String>,
    /// Methods, commas between them: each is none, a regularizer of the configuration, or several joined by +.
    /// Differences are to the first on the same baseline
    #[arg(long, default_value = "none,hsc", value_delimiter = ',', value_name = "METHODS")]
    pub regularizers: Vec<String>,
    /// Trainings per method and baseline, each with a seed of its own, the same for all of them
    #[arg(long, default_value_t = 3)]
    pub repeats: usize,
    /// Trainings at a time; without it, one per core. The numbers do not depend on it
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Print IoU of every class
    #[arg(long)]
    pub per_class: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
    /// Go on with an interrupted comparison
    #[arg(long)]
    pub resume: bool,
    /// Configuration
    #[command(flatten)]
    pub source: ConfigSource,
}

pub(in crate::cli) fn run(args: &CompareArgs, progress: &Progress) -> Result<()> {
    let config = RunConfig::load(&args.source.config, &args.source.settings)?;
    check_plan(&config, &args.baselines, &args.regularizers, args.repeats)?;
    // Before a folder is made; what is made below is not there yet.
    let given =
        args.data.as_ref().map(|root| Dataset::open_from(&args.places.source(root, &args.split))).transpose()?;
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
    Dataset::open_from(&DataSource::new(&root, &args.split))
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
