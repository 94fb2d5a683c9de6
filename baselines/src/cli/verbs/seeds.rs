//! `wsss seeds`.

use std::path::PathBuf;

use candle_core::Device;
use clap::Args;

use crate::accumulate::AttentionInfo;
use crate::cli::args::DataArgs;
use crate::cli::shared::say;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::{
    Interrupt, Progress, SEED_ARRAYS, SeedFolder, from_checkpoint, infer_seeds, open_folder, seeds_from_attention,
};
use crate::train::checkpoint::Checkpoint;

/// `wsss seeds`.
#[derive(Debug, Args)]
pub struct SeedsArgs {
    /// Checkpoint of a trained model
    #[arg(long, value_name = "FILE")]
    pub checkpoint: PathBuf,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
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

pub(in crate::cli) fn run(args: &SeedsArgs, progress: &Progress) -> Result<()> {
    if let Some(score) = args.background_score.filter(|score| !(score.is_finite() && *score >= 0.0)) {
        return Err(Error::Config(format!("--background-score: must be 0 or more, is {score}")));
    }
    let checkpoint = Checkpoint::read(&args.checkpoint, &Device::Cpu)?;
    let (model, config) = from_checkpoint(&checkpoint, &args.checkpoint)?;
    let images = Dataset::open_images_from(&args.data.source())?;
    if images.class_names() != checkpoint.info.classes {
        return Err(Error::data(
            &args.data.data,
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
