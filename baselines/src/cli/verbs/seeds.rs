//! `wsss seeds`.

use std::path::PathBuf;

use clap::Args;

use crate::accumulate::AttentionInfo;
use crate::cli::args::{DataArgs, DeviceArgs};
use crate::cli::shared::say;
use crate::config::RunConfig;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::{
    Interrupt, Progress, SeedFolder, SeedJob, SeedManifest, SeedOrigin, SeedOutputs, Shard, attention_seeds_of,
    from_checkpoint, infer_seeds_of,
};
use crate::train::checkpoint::{Checkpoint, CheckpointInfo};

/// `wsss seeds`.
#[derive(Debug, Args)]
pub struct SeedsArgs {
    /// Checkpoint of a trained model
    #[arg(long, value_name = "FILE")]
    pub checkpoint: PathBuf,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to make: arrays/, png/ and seeds.json, which says what they were made with
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Folder of attention maps accumulated while training, to make the seeds of; the network is not run then
    #[arg(long, value_name = "DIR")]
    pub attention: Option<PathBuf>,
    /// Background score of the PNG files; the checkpoint's configuration decides without it
    #[arg(long, value_name = "SCORE")]
    pub background_score: Option<f64>,
    /// Refine the seeds by the colours of their images as well: masks/
    #[arg(long)]
    pub crf: bool,
    /// Write no arrays/: with `--crf`, nothing large is kept, but no other score can be tried later
    #[arg(long)]
    pub no_arrays: bool,
    /// Write no png/
    #[arg(long)]
    pub no_png: bool,
    /// Write the scores as NAME.npy into this folder too: NumPy arrays by class, as SEAM and PSA hand them on
    #[arg(long, value_name = "DIR")]
    pub npy: Option<PathBuf>,
    /// Change one field of the checkpoint's configuration, below `infer` or `crf`, as in `--set infer.scales=[1.0]`
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
    /// Only share I of N of the images, I from 1 to N; N processes may write into one folder
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Images in memory at once, for images so large that one for every thread is too much
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<usize>,
    /// Device
    #[command(flatten)]
    pub device: DeviceArgs,
    /// Keep the seeds that are there already and infer the rest
    #[arg(long)]
    pub resume: bool,
}

pub(in crate::cli) fn run(args: &SeedsArgs, progress: &Progress) -> Result<()> {
    check(args)?;
    let device = args.device.open()?;
    let path = &args.checkpoint;
    let bytes = std::fs::read(path).map_err(Error::input(path, "a checkpoint"))?;
    let checkpoint = Checkpoint::from_bytes(&bytes, path, &device)?;
    let (network, _) = from_checkpoint(&checkpoint, path, &device)?;
    let info = checkpoint.info;
    let config = changed_config(args, &info)?;
    let images = Dataset::open_images_from(&args.data.source()?)?;
    if images.class_names() != info.classes {
        return Err(Error::data(
            &args.data.data,
            format!(
                "expected the classes of the checkpoint ({}), got {}",
                info.classes.join(", "),
                images.class_names().join(", ")
            ),
        ));
    }
    let interrupt = Interrupt::on_signal()?;
    let attention = args.attention.as_deref().map(AttentionInfo::expect).transpose()?;
    let crf = args.crf.then(|| config.crf.clone().for_classes(images.layout().num_foreground()));
    let outputs =
        SeedOutputs { arrays: !args.no_arrays, png: !args.no_png, masks: crf.transpose()?, npy: args.npy.clone() };
    let score = args.background_score.unwrap_or(config.eval.background_score);
    let origin = SeedOrigin { checkpoint: &bytes, info: &info, config: &config, attention };
    let manifest = SeedManifest::new(&origin, &images, &args.data.split, &outputs, score);
    drop(bytes);
    let folder = SeedFolder { path: &args.out, background_score: score, resume: args.resume };
    let job = SeedJob {
        outputs,
        shard: args.shard,
        jobs: args.jobs,
        manifest: Some(manifest),
        ..SeedJob::new(&images, folder)
    };
    match &args.attention {
        Some(attention) => attention_seeds_of(&job, attention, progress, &interrupt)?,
        None => infer_seeds_of(&job, &network, &config, progress, &interrupt)?,
    }
    let count = args.shard.unwrap_or_default().images(images.len()).count();
    let share = args.shard.map_or_else(String::new, |shard| format!(", share {shard},"));
    say(&format!("wrote seeds of {count} images{share} to {}", args.out.display()))
}

fn check(args: &SeedsArgs) -> Result<()> {
    let bad = |reason: String| Err(Error::Config(reason));
    if let Some(score) = args.background_score.filter(|score| !(score.is_finite() && *score >= 0.0)) {
        return bad(format!("--background-score: must be 0 or more, is {score}"));
    }
    if args.jobs == Some(0) {
        return bad("--jobs: must be at least 1, is 0".to_string());
    }
    if args.no_arrays && args.no_png && !args.crf && args.npy.is_none() {
        return bad(
            "--no-arrays and --no-png leave nothing to write; give --crf or --npy, or leave one out".to_string()
        );
    }
    Ok(())
}

// What is not about inference belongs to the training, which is over.
fn changed_config(args: &SeedsArgs, info: &CheckpointInfo) -> Result<RunConfig> {
    let is_open = |setting: &&String| setting.starts_with("infer.") || setting.starts_with("crf.");
    if let Some(setting) = args.settings.iter().find(|setting| !is_open(setting)) {
        return Err(Error::Config(format!(
            "--set {setting}: only fields below `infer` and `crf` can be changed; the rest is the checkpoint's"
        )));
    }
    let config = RunConfig::from_toml(&info.config, "the checkpoint's configuration", &args.settings)?;
    if !args.settings.is_empty() {
        // Whether the maps asked for are ones the baseline has.
        config.expect_trainable()?;
    }
    Ok(config)
}
