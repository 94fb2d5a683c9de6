//! `wsss data`.

use clap::{Args, Subcommand};

use crate::cli::args::DataArgs;
use crate::cli::shared::say;
use crate::data::Survey;
use crate::error::{Error, Result};
use crate::run::Progress;

/// `wsss data`.
#[derive(Debug, Subcommand)]
pub enum DataCommand {
    /// Count images, labels, masks and saliency maps; name what is missing or inconsistent
    Check(CheckArgs),
}

/// `wsss data check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Print JSON in place of the table
    #[arg(long)]
    pub json: bool,
}

pub(in crate::cli) fn run(command: &DataCommand, progress: &Progress) -> Result<()> {
    let DataCommand::Check(args) = command;
    let survey = Survey::open(&args.data.source()?)?;
    let bar = progress.bar("data check", survey.len());
    let check = survey.run(&|| bar.inc(1));
    bar.finish_and_clear();
    say(&if args.json { check.to_json()? } else { check.to_text() })?;
    // The exit code says it to scripts.
    let reason = check.works.first().and_then(|training| training.reason.as_ref());
    match reason {
        Some(reason) => {
            Err(Error::data(&args.data.data, format!("no training on split `{}`: {reason}", args.data.split)))
        }
        None => Ok(()),
    }
}
