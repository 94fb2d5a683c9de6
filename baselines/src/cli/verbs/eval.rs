//! `wsss eval`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::{ConfigSource, DataArgs};
use crate::cli::shared::{load, say};
use crate::config::EvalConfig;
use crate::data::Dataset;
use crate::error::Result;
use crate::run::{evaluation, score_seeds};

/// `wsss eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of seeds, as `wsss seeds` wrote it
    #[arg(long, value_name = "DIR")]
    pub seeds: PathBuf,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
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

pub(in crate::cli) fn run(args: &EvalArgs) -> Result<()> {
    let config = load(&args.source, args.baseline.as_ref())?.eval;
    let config = EvalConfig { background_score: args.background_score.unwrap_or(config.background_score), ..config };
    config.validate().map_err(|err| err.within("eval"))?;
    let dataset = Dataset::open_from(&args.data.source())?;
    let scores = score_seeds(&args.seeds, &dataset, &config)?;
    let report = evaluation(&dataset, &args.data.split, &scores.curve, &config)?;
    say(&if args.json { report.to_json()? } else { report.to_text(args.per_class)? })
}
