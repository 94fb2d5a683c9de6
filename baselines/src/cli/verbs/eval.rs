//! `wsss eval`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::{ConfigSource, DataArgs};
use crate::cli::shared::{load, say, write_text};
use crate::config::EvalConfig;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::{Evaluated, evaluation, expect_seeds, label_map_evaluation, score_label_maps, score_seeds};

/// `wsss eval`.
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// Folder of seeds, as `wsss seeds` wrote it
    #[arg(long, value_name = "DIR", required_unless_present = "predictions", conflicts_with = "predictions")]
    pub seeds: Option<PathBuf>,
    /// Folder of label maps of any program, NAME.png, palette or gray: one number, no curve
    #[arg(long, value_name = "DIR")]
    pub predictions: Option<PathBuf>,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Background score fixed in advance; the configuration decides without it
    #[arg(long, value_name = "SCORE", conflicts_with = "predictions")]
    pub background_score: Option<f64>,
    /// Print IoU, precision and recall of every class
    #[arg(long)]
    pub per_class: bool,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
    /// Write the numbers as a table: a line per class and one for the mean
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Write the curve as a table: a line per background score
    #[arg(long, value_name = "FILE", conflicts_with = "predictions")]
    pub curve_csv: Option<PathBuf>,
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
    // Before the work, not after it.
    [&args.csv, &args.curve_csv].into_iter().flatten().try_for_each(|path| expect_new(path))?;
    let dataset = Dataset::open_from(&args.data.source()?)?;
    let of = |folder| Evaluated { dataset: &dataset, split: &args.data.split, folder, config: &config };
    let report = match (&args.seeds, &args.predictions) {
        (_, Some(folder)) => {
            label_map_evaluation(&of(folder), &score_label_maps(folder, &dataset, config.open_pixels)?)?
        }
        (Some(folder), None) => {
            expect_seeds(folder, &dataset)?;
            evaluation(&of(folder), &score_seeds(folder, &dataset, &config)?)?
        }
        (None, None) => return Err(Error::Config("--seeds or --predictions: one of them is needed".to_string())),
    };
    if let Some(path) = &args.csv {
        write_text(path, &report.numbers_csv()?)?;
    }
    if let Some(path) = &args.curve_csv {
        write_text(path, &report.curve_csv()?)?;
    }
    say(&if args.json { report.to_json()? } else { report.to_text(args.per_class)? })
}

fn expect_new(path: &Path) -> Result<()> {
    if path.exists() { Err(Error::OutputExists(path.to_path_buf())) } else { Ok(()) }
}
