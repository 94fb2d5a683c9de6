//! `wsss pretrain`.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::cli::args::{DeviceArgs, PlacesArgs};
use crate::cli::shared::{SYNTH_FOLDER, generate, say};
use crate::config::RunConfig;
use crate::data::ImageSet;
use crate::error::{Error, Result};
use crate::run::{Interrupt, Progress, expect_writable, pretrain};
use crate::synth::SynthConfig;

/// `wsss pretrain`.
#[derive(Debug, Args)]
pub struct PretrainArgs {
    /// Data set to learn from; without it, embedded data of other classes is made in a temporary folder
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Image list below ImageSets/Segmentation
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Where its parts are
    #[command(flatten)]
    pub places: PlacesArgs,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// TOML file, or a built-in: embedded, photographs, voc12-seam, voc12-eps, voc12-vgg16-oaa, coco14-eps, pretrain
    #[arg(long, default_value = "pretrain", value_name = "FILE")]
    pub config: String,
    /// Device
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Change one field of the configuration, as in `--set train.steps=300`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Change one field of the generator, when embedded data is made; may come several times
    #[arg(long = "synth-set", value_name = "KEY=VALUE", conflicts_with = "data")]
    pub synth_settings: Vec<String>,
}

pub(in crate::cli) fn run(args: &PretrainArgs, progress: &Progress) -> Result<()> {
    let config = RunConfig::load(&args.config, &args.settings)?;
    let device = args.device.open()?;
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
    let images = Arc::new(ImageSet::open_from(&args.places.source(&root, &args.split)?)?);
    let summary = pretrain(&config, images, &args.out, &device, progress, &interrupt)?;
    say(&format!(
        "wrote {} ({:.2} MB) after {} steps; classification loss {:.3} at first, {:.3} at last",
        args.out.display(),
        summary.bytes as f64 / 1e6,
        summary.steps,
        summary.first_loss,
        summary.last_loss
    ))
}

// Other classes, another seed: nothing of the data a start is later tried on.
fn pretraining_data() -> SynthConfig {
    SynthConfig { family: 1, seed: 1_000_001, classes: 12, train: 2400, val: 8, ..SynthConfig::default() }
}
