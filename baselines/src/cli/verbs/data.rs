//! `wsss data`.

use clap::{Args, Subcommand};

use crate::cli::args::DataArgs;
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

pub(in crate::cli) fn run(command: &DataCommand, _progress: &Progress) -> Result<()> {
    let DataCommand::Check(_args) = command;
    Err(Error::Config("not there yet".to_string()))
}
