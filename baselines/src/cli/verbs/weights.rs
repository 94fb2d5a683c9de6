//! `wsss weights`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::error::{Error, Result};
use crate::run::Progress;

/// `wsss weights`.
#[derive(Debug, Subcommand)]
pub enum WeightsCommand {
    /// List the tensors of a file: safetensors, .pth of either kind, or MXNet's .params
    Inspect(InspectArgs),
    /// Write the tensors of a file as safetensors, under the names of a trunk
    Convert(ConvertArgs),
}

/// `wsss weights inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// File of weights
    pub file: PathBuf,
}

/// `wsss weights convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// File of weights
    pub file: PathBuf,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

pub(in crate::cli) fn run(command: &WeightsCommand, _progress: &Progress) -> Result<()> {
    match command {
        WeightsCommand::Inspect(_) | WeightsCommand::Convert(_) => Err(Error::Config("not there yet".to_string())),
    }
}
