//! `wsss viz`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::args::DataArgs;
use crate::error::{Error, Result};
use crate::run::Progress;

/// `wsss viz`.
#[derive(Debug, Args)]
pub struct VizArgs {
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

pub(in crate::cli) fn run(_args: &VizArgs, _progress: &Progress) -> Result<()> {
    Err(Error::Config("not there yet".to_string()))
}
