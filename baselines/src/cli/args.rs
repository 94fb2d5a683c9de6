//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Weakly supervised semantic segmentation: train a baseline with and without regularizers, and compare their seeds.
#[derive(Debug, Parser)]
#[command(name = "wsss", version, after_help = EXIT_CODES, propagate_version = true)]
pub struct Cli {
    /// Say nothing on the way; results still go to stdout.
    #[arg(long, short, global = true, display_order = 100)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Start here:
  wsss compare --synth --out runs/first      baseline against baseline + HSC on embedded data

Exit codes:
    0  success
    1  failure, of the file system for one
    2  usage or configuration, or an output that exists already
    3  invalid data: an image, label, mask, seed file or checkpoint
    4  diverged: a loss is not a number
  130  interrupted; the message says what is saved";

/// The stages, in the order data flows. Leave at any of them: every stage reads and writes plain files.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the embedded data set, in PASCAL VOC layout
    Synth(SynthArgs),
    /// Train a trunk as a plain classifier, for a start of later runs
    Pretrain(PretrainArgs),
    /// Train one method on images and image-level labels
    Train(TrainArgs),
    /// Infer seeds with a trained model, as palette PNG and as compact arrays
    Seeds(SeedsArgs),
    /// Score seeds against ground truth at every background score
    Eval(EvalArgs),
    /// Train methods under the same budget, seeds and batches, and compare their seeds: the main job
    Compare(CompareArgs),
    /// Print a configuration with every field, to start from
    Config(ConfigArgs),
}

/// Which configuration, and what to change in it.
#[derive(Clone, Debug, Args)]
pub struct ConfigSource {
    /// TOML file, or a built-in: embedded, voc12-seam, voc12-eps, voc12-vgg16-oaa, pretrain
    #[arg(long, default_value = "embedded", value_name = "FILE")]
    pub config: String,
    /// Change one field, as in `--set loader.batch_size=4`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// `wsss synth`.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Folder to make
    pub out: PathBuf,
    /// Change one field of the generator, as in `--set classes=10`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// `wsss pretrain`.
#[derive(Debug, Args)]
pub struct PretrainArgs {
    /// Data set to learn from; without it, embedded data of other classes is made in a temporary folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Image list below ImageSets/Segmentation
    #[arg(long, default_value = "train")]
    pub split: String,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// TOML file, or a built-in: embedded, voc12-seam, voc12-eps, voc12-vgg16-oaa, pretrain
    #[arg(long, default_value = "pretrain", value_name = "FILE")]
    pub config: String,
    /// Change one field of the configuration, as in `--set train.steps=300`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Change one field of the generator, when embedded data is made; may come several times
    #[arg(long = "synth-set", value_name = "KEY=VALUE", conflicts_with = "data")]
    pub synth_settings: Vec<String>,
}

/// `wsss train`.
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// Data set in PASCAL VOC layout
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Image list below ImageSets/Segmentation
    #[arg(long, default_value = "train")]
    pub split: String,
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
    /// Configuration
    #[command(flatten)]
    pub source: ConfigSource,
}

/// `wsss seeds`.
#[derive(Debug, Args)]
pub struct SeedsArgs {
    /// Checkpoint of a trained model
    #[arg(long, value_name = "FILE")]
    pub checkpoint: PathBuf,
    /// Data set in PASCAL VOC layout; its image-level labels choose the classes of each image
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Image list below ImageSets/Segmentation
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Folder to make: arrays/ and png/
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder of attention maps accumulated while training, to make the seeds of; the network is not run then
    #[arg(long, value_name = "DIR")]
    pub attention: Option<PathBuf>,
    /// Background score of the PNG files; the checkpoint's configuration decides without it
    #[arg(long, value_name = "SCORE")]
    pub background_score: Option<f64>,
    /// Keep the seeds that are there already and infer the rest
    #[arg(long)]
    pub resume: bool,
}

/// `wsss eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of seeds, as `wsss seeds` wrote it
    #[arg(long, value_name = "DIR")]
    pub seeds: PathBuf,
    /// Data set in PASCAL VOC layout, with masks
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Image list below ImageSets/Segmentation
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Background score fixed in advance; the configuration decides without it
    #[arg(long, value_name = "SCORE")]
    pub background_score: Option<f64>,
    /// Print IoU of every class
    #[arg(long)]
    pub per_class: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
    /// Baseline by its name in the configuration's [baselines]; the configured one without it
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Configuration, of which [eval] counts
    #[command(flatten)]
    pub source: ConfigSource,
}

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

/// `wsss config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Baseline by its name in the configuration's [baselines]; the configured one without it
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Configuration
    #[command(flatten)]
    pub source: ConfigSource,
}
