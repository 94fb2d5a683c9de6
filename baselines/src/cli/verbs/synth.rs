//! `wsss synth`.

use std::path::PathBuf;

use clap::Args;

use crate::cli::shared::{generate, say};
use crate::error::Result;
use crate::run::Progress;
use crate::synth::SynthConfig;

/// `wsss synth`.
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// Folder to make
    pub out: PathBuf,
    /// Change one field of the generator, as in `--set classes=10`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,
}

pub(in crate::cli) fn run(args: &SynthArgs, progress: &Progress) -> Result<()> {
    generate(&SynthConfig::default(), &args.settings, &args.out, progress)?;
    say(&format!("wrote {}", args.out.display()))
}
