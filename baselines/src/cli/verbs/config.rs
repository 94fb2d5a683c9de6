//! `wsss config`.

use clap::Args;

use crate::cli::args::ConfigSource;
use crate::cli::shared::say;
use crate::config::RunConfig;
use crate::error::Result;

/// `wsss config`.
#[derive(Debug, Args)]
pub struct ConfigArgs {
    /// Baseline by its name in the configuration's [baselines]; the configured one without it
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Configuration
    #[command(flatten)]
    pub source: ConfigSource,
}

pub(in crate::cli) fn run(args: &ConfigArgs) -> Result<()> {
    let config = RunConfig::load(&args.source.config, &args.source.settings)?;
    let config = args.baseline.as_ref().map_or_else(|| Ok(config.clone()), |name| config.with_baseline(name))?;
    say(&config.to_toml()?)
}
