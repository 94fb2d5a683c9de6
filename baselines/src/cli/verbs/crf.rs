//! `wsss crf`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::DataArgs;
use crate::error::{Error, Result};
use crate::run::Progress;

/// `wsss crf`.
#[derive(Debug, Args)]
pub struct CrfArgs {
    /// Folder of seeds, as `wsss seeds` wrote it
    #[arg(long, value_name = "DIR")]
    pub seeds: PathBuf,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

pub(in crate::cli) fn run(_args: &CrfArgs, _progress: &Progress) -> Result<()> {
    Err(Error::Config("not there yet".to_string()))
}
