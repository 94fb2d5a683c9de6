//! What can be typed.

use std::path::{Path, PathBuf};

use candle_core::Device;
use candle_wsss::ops::{Precision, set_convolution_precision};
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::verbs::compare::CompareArgs;
use crate::cli::verbs::config::ConfigArgs;
use crate::cli::verbs::crf::CrfArgs;
use crate::cli::verbs::data::DataCommand;
use crate::cli::verbs::eval::EvalArgs;
use crate::cli::verbs::pretrain::PretrainArgs;
use crate::cli::verbs::seeds::SeedsArgs;
use crate::cli::verbs::synth::SynthArgs;
use crate::cli::verbs::train::TrainArgs;
use crate::cli::verbs::viz::VizArgs;
use crate::cli::verbs::weights::WeightsCommand;
use crate::data::{CocoConfig, DataSource, LabelSource};
use crate::error::{Error, Result};
use crate::run::ComputeDevice;
use crate::settings;

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
    /// Look a data set over: what is there, what is missing, what works without it
    #[command(subcommand)]
    Data(DataCommand),
    /// Read, rename and convert weights of other programs
    #[command(subcommand)]
    Weights(WeightsCommand),
    /// Train a trunk as a plain classifier, for a start of later runs
    Pretrain(PretrainArgs),
    /// Train one method on images and image-level labels
    Train(TrainArgs),
    /// Infer seeds with a trained model, as palette PNG and as compact arrays
    Seeds(SeedsArgs),
    /// Refine seeds by the colours of their images: dense CRF
    Crf(CrfArgs),
    /// Score seeds against ground truth at every background score
    Eval(EvalArgs),
    /// Look at seeds: overlays, the worst and best images, confusion, curves
    Viz(VizArgs),
    /// Train methods under the same budget, seeds and batches, and compare their seeds: the main job
    Compare(CompareArgs),
    /// Print a configuration with every field, to start from
    Config(ConfigArgs),
}

/// Which configuration, and what to change in it.
#[derive(Clone, Debug, Args)]
pub struct ConfigSource {
    /// TOML file, or a built-in: embedded, photographs, voc12-seam, voc12-eps, voc12-vgg16-oaa, coco14-eps, pretrain
    #[arg(long, default_value = "embedded", value_name = "FILE")]
    pub config: String,
    /// Change one field, as in `--set loader.batch_size=4`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

/// Where networks run.
#[derive(Clone, Copy, Debug, Args)]
pub struct DeviceArgs {
    /// Where networks run: cpu, cuda, or cuda:N for one of several NVIDIA devices. Checkpoints go from any to any
    #[arg(long, value_name = "DEVICE", default_value = "cpu")]
    pub device: ComputeDevice,
    /// How an NVIDIA device multiplies in convolutions: float32, or tf32, which rounds factors to 10 bits and is faster
    #[arg(long, value_name = "PRECISION", value_enum, default_value = "float32", hide_possible_values = true)]
    pub precision: ConvolutionPrecision,
}

/// How an NVIDIA device multiplies in convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ConvolutionPrecision {
    /// As the CPU does
    Float32,
    /// By tensor cores, with factors rounded to 10 bits after the point
    Tf32,
}

impl DeviceArgs {
    /// The device, ready to compute, for the whole process. To be asked before anything is made.
    ///
    /// # Errors
    /// When this program or the machine lacks it, or it cannot multiply as asked.
    pub fn open(self) -> Result<Device> {
        let device = self.device.open()?;
        match self.precision {
            ConvolutionPrecision::Tf32 if device.is_cpu() => {
                let reason = "--precision tf32: is for NVIDIA devices; give --device cuda, or leave it out";
                return Err(Error::Config(reason.to_string()));
            }
            ConvolutionPrecision::Tf32 => set_convolution_precision(Precision::Tf32),
            ConvolutionPrecision::Float32 => {}
        }
        Ok(device)
    }
}

/// Which data set.
#[derive(Clone, Debug, Args)]
pub struct DataArgs {
    /// Data set: PASCAL VOC layout, COCO layout, or a folder of images with a CSV of image-level labels
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Its part: a list below ImageSets/Segmentation, the annotations of COCO, a list beside the CSV
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Where its parts are
    #[command(flatten)]
    pub places: PlacesArgs,
}

impl DataArgs {
    /// As the data module takes it.
    ///
    /// # Errors
    /// When an option of COCO is unknown.
    pub fn source(&self) -> Result<DataSource> {
        self.places.source(&self.data, &self.split)
    }
}

/// Where the parts of a data set are, when not in their usual places.
#[derive(Clone, Debug, Default, Args)]
pub struct PlacesArgs {
    /// Image-level labels: auto, xml, masks, or a file, which may be .npy, .csv or .json
    #[arg(long, value_name = "SOURCE", default_value = "auto")]
    pub labels: LabelSource,
    /// Folder of masks, such as SegmentationClassAug; below the data set unless it is a path of its own
    #[arg(long, value_name = "DIR")]
    pub masks: Option<PathBuf>,
    /// Folder of saliency maps; below the data set unless it is a path of its own
    #[arg(long, value_name = "DIR")]
    pub saliency: Option<PathBuf>,
    /// How COCO's annotations are read, as in `--coco overlap=void`; may come several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub coco: Vec<String>,
}

impl PlacesArgs {
    /// A part of a data set with its parts in these places.
    ///
    /// # Errors
    /// When an option of COCO is unknown.
    pub fn source(&self, root: &Path, split: &str) -> Result<DataSource> {
        Ok(DataSource {
            labels: self.labels.clone(),
            masks: self.masks.clone(),
            saliency: self.saliency.clone(),
            coco: settings::on_top(&CocoConfig::default(), "coco", &self.coco)?,
            ..DataSource::new(root, split)
        })
    }
}
