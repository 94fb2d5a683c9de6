//! `wsss compare`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;

use crate::cli::args::{ConfigSource, DeviceArgs, PlacesArgs};
use crate::cli::shared::{SYNTH_FOLDER, generate, say, typed, write_text};
use crate::config::RunConfig;
use crate::data::{Dataset, ImageSet};
use crate::error::{Error, Result};
use crate::run::{
    CONFIG_FILE, CompareOptions, CompareOutcome, Interrupt, Progress, check_plan, compare, discard_unstarted,
    open_folder, settle_config,
};
use crate::synth::SynthConfig;

/// `wsss compare`.
#[derive(Debug, Args)]
pub struct CompareArgs {
    /// Data set: PASCAL VOC layout, COCO layout, or a folder of images with a CSV of image-level labels
    #[arg(long, value_name = "DIR", required_unless_present = "synth", conflicts_with = "synth")]
    pub data: Option<PathBuf>,
    /// Make the embedded data set inside the run folder and use it
    #[arg(long)]
    pub synth: bool,
    /// Change one field of the generator, as in `--synth-set train=200`; may come several times
    #[arg(long = "synth-set", value_name = "KEY=VALUE", requires = "synth")]
    pub synth_settings: Vec<String>,
    /// Image list to train on
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Image list to score seeds on; without it, the one trained on. The papers train on the augmented list and score on train
    #[arg(long, value_name = "SPLIT")]
    pub eval_split: Option<String>,
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
    /// Trainings at a time; without it, one per core, and one on another device than the CPU. The numbers do not depend on it
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Print IoU of every class
    #[arg(long)]
    pub per_class: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
    /// Go on with an interrupted comparison, or make a finished one larger
    #[arg(long)]
    pub resume: bool,
    /// Device
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Configuration
    #[command(flatten)]
    pub source: ConfigSource,
}

pub(in crate::cli) fn run(args: &CompareArgs, progress: &Progress) -> Result<()> {
    let config = RunConfig::load(&args.source.config, &args.source.settings)?;
    check_plan(&config, &args.baselines, &args.regularizers, args.repeats)?;
    let device = args.device.open()?;
    // Before a folder is made; what is made below is not there yet.
    let given = args.data.as_ref().map(|root| Splits::open(root, args)).transpose()?;
    let interrupt = Interrupt::on_signal()?;
    open_folder(&args.out, args.resume, CONFIG_FILE)?;
    let outcome = settle_config(&args.out, &config, args.resume)
        .and_then(|()| match given {
            Some(splits) => Ok(splits),
            None => made_data(args, progress),
        })
        .and_then(|Splits { training, evaluated }| {
            let options = CompareOptions {
                config: &config,
                training,
                training_split: &args.split,
                dataset: evaluated,
                dataset_name: args.synth.then_some("embedded data"),
                split: args.eval_split(),
                baselines: &args.baselines,
                methods: &args.regularizers,
                repeats: args.repeats,
                jobs: args.jobs.unwrap_or_else(rayon::current_num_threads),
                device: &device,
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

fn made_data(args: &CompareArgs, progress: &Progress) -> Result<Splits> {
    let root = args.out.join(SYNTH_FOLDER);
    if !(args.resume && root.is_dir()) {
        generate(&SynthConfig::default(), &args.synth_settings, &root, progress)?;
    }
    Splits::open(&root, args)
}

/// What is trained on, and what seeds are scored on.
struct Splits {
    training: Arc<ImageSet>,
    evaluated: Arc<Dataset>,
}

impl Splits {
    fn open(root: &Path, args: &CompareArgs) -> Result<Self> {
        let source = |split: &str| args.places.source(root, split);
        let evaluated = Arc::new(Dataset::open_from(&source(args.eval_split())?)?);
        let training = match args.eval_split() {
            same if same == args.split => Arc::clone(evaluated.images()),
            _ => Dataset::open_images_from(&source(&args.split)?)?,
        };
        Ok(Self { training, evaluated })
    }
}

impl CompareArgs {
    fn eval_split(&self) -> &str {
        self.eval_split.as_ref().unwrap_or(&self.split)
    }
}

fn write_results(args: &CompareArgs, outcome: CompareOutcome) -> Result<()> {
    let CompareOutcome { mut report, timings } = outcome;
    let json = report.to_json()?;
    let text = report.to_text(args.per_class)?;
    write_text(&args.out.join("results.json"), &json)?;
    write_text(&args.out.join("results.csv"), &report.results_csv()?)?;
    write_text(&args.out.join("table.txt"), &text)?;
    // After the numbers were written: times and folders belong into the page, not into what two runs must agree on.
    report.environment.extend(timings);
    report.reproduce.push(typed());
    let page = args.out.join("report.html");
    report.write_html(&page)?;
    if args.json { say(&json) } else { say(&format!("{text}\nreport: {}", page.display())) }
}
