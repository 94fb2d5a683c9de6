//! `wsss crf`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};

use crate::cli::args::{ConfigSource, DataArgs};
use crate::cli::shared::say;
use crate::config::RunConfig;
use crate::crf::{Background, CrfConfig};
use crate::data::{BACKGROUND, Dataset, VOID};
use crate::error::{Error, Result};
use crate::run::{CrfJob, CrfOutcome, Interrupt, Progress, Shard};
use crate::settings;

/// `wsss crf`.
#[derive(Debug, Args)]
pub struct CrfArgs {
    /// Folder of seeds, as `wsss seeds` wrote it
    #[arg(long, value_name = "DIR")]
    pub seeds: PathBuf,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to make: masks/ and crf.json, which says what they were made with
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Constants of a paper's released code, in place of the configuration's [crf]
    #[arg(long, value_enum, value_name = "PAPER")]
    pub preset: Option<Preset>,
    /// Exponent of the background, where it is a power: small keeps background, large keeps foreground
    #[arg(long, value_name = "EXPONENT")]
    pub alpha: Option<f64>,
    /// Background score at which seeds become labels, where labels enter the CRF
    #[arg(long, value_name = "SCORE", conflicts_with = "alpha")]
    pub background_score: Option<f64>,
    /// Configuration, of which [crf] counts
    #[command(flatten)]
    pub source: ConfigSource,
    /// Only share I of N of the images, I from 1 to N; N processes may write into one folder
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// Images at once; as many as there are processors without it
    #[arg(long, value_name = "COUNT")]
    pub jobs: Option<usize>,
    /// Keep the masks that are there already and make the rest
    #[arg(long)]
    pub resume: bool,
}

/// Whose constants. Said in plain comments, because documented values spread the help over twice the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "documentation here is text of the help")]
pub enum Preset {
    // Probabilities, background power 4, 10 iterations.
    Seam,
    // Labels at a background score of 0.26, 10 iterations: PPC on SEAM.
    Ppc,
    // Probabilities, background power 8, 5 iterations: PPC on EPS.
    Eps,
    // Probabilities, background power 7, 8 iterations: HSC on EPS.
    Hsc,
    // Probabilities, background power 4, 10 iterations, then saliency, with pixels left open.
    Rca,
}

impl Preset {
    fn config(self) -> CrfConfig {
        match self {
            Self::Seam => CrfConfig::default(),
            Self::Ppc => CrfConfig::ppc_labels(),
            Self::Eps => CrfConfig::eps_labels(),
            Self::Hsc => CrfConfig::hsc(),
            Self::Rca => CrfConfig::rca(),
        }
    }
}

pub(in crate::cli) fn run(args: &CrfArgs, progress: &Progress) -> Result<()> {
    if args.jobs == Some(0) {
        return Err(Error::Config("--jobs: must be at least 1, is 0".to_string()));
    }
    let config = configured(args)?;
    config.validate().map_err(|err| err.within("crf"))?;
    let images = Dataset::open_images_from(&args.data.source()?)?;
    let config = config.for_classes(images.layout().num_foreground())?;
    let interrupt = Interrupt::on_signal()?;
    let job = CrfJob {
        seeds: &args.seeds,
        images: &images,
        split: &args.data.split,
        config,
        out: &args.out,
        jobs: args.jobs,
        shard: args.shard,
        resume: args.resume,
    };
    let (clock, before) = (Instant::now(), processor_time());
    let outcome = job.run(progress, &interrupt)?;
    let used = processor_time().zip(before).map(|(now, before)| now.saturating_sub(before));
    say(&summary(args, &outcome, clock.elapsed(), used))
}

fn configured(args: &CrfArgs) -> Result<CrfConfig> {
    let mut config = match args.preset {
        None => RunConfig::load(&args.source.config, &args.source.settings)?.crf,
        Some(preset) => {
            let mut own = Vec::new();
            for setting in &args.source.settings {
                let Some(rest) = setting.strip_prefix("crf.") else {
                    return Err(Error::Config(format!("--set {setting}: only fields below `crf` count here")));
                };
                own.push(rest.to_string());
            }
            settings::on_top(&preset.config(), "preset", &own)?
        }
    };
    let refuse = |flag: &str, kind: &str| Err(Error::Config(format!("{flag}: the background is {kind} here")));
    if let Some(value) = args.alpha {
        match &mut config.background {
            Background::Power { alpha } => *alpha = value,
            Background::Saliency(rules) => rules.alpha = value,
            Background::Score { .. } => return refuse("--alpha", "a score, not a power"),
        }
    }
    if let Some(value) = args.background_score {
        match &mut config.background {
            Background::Score { score } => *score = value,
            _ => return refuse("--background-score", "a power, not a score"),
        }
    }
    Ok(config)
}

fn summary(args: &CrfArgs, outcome: &CrfOutcome, wall: Duration, processor: Option<Duration>) -> String {
    let share = args.shard.map_or_else(String::new, |shard| format!(", share {shard},"));
    let mut text = format!("wrote masks of {} images{share} to {}", outcome.made, args.out.display());
    if outcome.kept > 0 {
        text += &format!(", kept {} that were there", outcome.kept);
    }
    if outcome.made == 0 {
        return text;
    }
    let all = outcome.pixels.values().sum::<u64>().max(1) as f64;
    let of = |label: u8| 100.0 * outcome.pixels.get(&label).copied().unwrap_or(0) as f64 / all;
    text += &format!("\n{:.1} % background, {:.1} % void", of(BACKGROUND), of(VOID));
    let each = |time: Duration| time.as_secs_f64() * 1e3 / outcome.made as f64;
    text += &format!("; {:.0} ms an image", each(wall));
    if let Some(processor) = processor {
        text += &format!(", {:.0} ms of one processor", each(processor));
    }
    text
}

// What the process has used of all processors. Only Linux says so in a file, in hundredths of a second.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The second field is a name in brackets, which may hold anything.
    let (_, rest) = text.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let ticks: u64 = fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}
