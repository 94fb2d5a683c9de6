//! `wsss viz`.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::args::{ConfigSource, DataArgs};
use crate::cli::shared::{load, say, typed, write_text};
use crate::config::EvalConfig;
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::run::{Interrupt, Overlays, Progress, REPORT_FILE, SourceKind, VizOptions, VizSource, create_folder, viz};

/// `wsss viz`.
#[derive(Debug, Args)]
pub struct VizArgs {
    /// Folder of seeds, as `wsss seeds` wrote it, or NAME=DIR; may come several times
    #[arg(long, value_name = "[NAME=]DIR", required_unless_present = "predictions")]
    pub seeds: Vec<String>,
    /// Folder of masks as palette PNG files, of `wsss crf` or another tool, itself or its png/ or masks/, or NAME=DIR; may come several times
    #[arg(long, value_name = "[NAME=]DIR")]
    pub predictions: Vec<String>,
    /// Data set
    #[command(flatten)]
    pub data: DataArgs,
    /// Folder to make
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Images per contact sheet
    #[arg(long, default_value_t = 6)]
    pub rows: usize,
    /// Background score of what is shown; without it the best one, or that of the configuration where there are no masks
    #[arg(long, value_name = "SCORE")]
    pub background_score: Option<f64>,
    /// Write the overlays of the images on the page as files, too
    #[arg(long)]
    pub pictures: bool,
    /// Write the overlays of all images as files
    #[arg(long)]
    pub all: bool,
    /// Baseline by its name in the configuration's [baselines]; the configured one without it
    #[arg(long, value_name = "NAME")]
    pub baseline: Option<String>,
    /// Configuration, of which [eval] counts
    #[command(flatten)]
    pub source: ConfigSource,
}

pub(in crate::cli) fn run(args: &VizArgs, progress: &Progress) -> Result<()> {
    let eval = load(&args.source, args.baseline.as_ref())?.eval;
    let dataset = Dataset::open_from(&args.data.source()?)?;
    let eval = EvalConfig { background_score: args.background_score.unwrap_or(eval.background_score), ..eval };
    if dataset.has_masks() {
        eval.validate().map_err(|err| err.within("eval"))?;
    } else if !(eval.background_score.is_finite() && eval.background_score >= 0.0) {
        let score = eval.background_score;
        return Err(Error::Config(format!("--background-score: must be 0 or more, is {score}")));
    }
    let sources = sources(args)?;
    let interrupt = Interrupt::on_signal()?;
    create_folder(&args.out)?;
    let options = VizOptions {
        dataset: &dataset,
        split: &args.data.split,
        sources: &sources,
        eval: &eval,
        background_score: args.background_score,
        rows: args.rows,
        overlays: match (args.all, args.pictures) {
            (true, _) => Overlays::All,
            (false, true) => Overlays::Shown,
            (false, false) => Overlays::None,
        },
    };
    let page = viz(&options, &args.out, progress, &interrupt).inspect_err(|_| {
        // Goes only if it is empty; the error that led here is the one to show.
        drop(std::fs::remove_dir(&args.out));
    })?;
    let mut page = page;
    page.reproduce.push(typed());
    let path = args.out.join(REPORT_FILE);
    write_text(&path, &page.to_html()?)?;
    say(&format!("{}\nreport: {}", page.sources_table().to_text(), path.display()))
}

fn sources(args: &VizArgs) -> Result<Vec<VizSource>> {
    let seeds = args.seeds.iter().map(|text| ("--seeds", text, SourceKind::Seeds));
    let masks = args.predictions.iter().map(|text| ("--predictions", text, SourceKind::Masks));
    let mut sources: Vec<VizSource> = Vec::new();
    for (flag, text, kind) in seeds.chain(masks) {
        let source = source(text, kind);
        if !source.folder.is_dir() {
            let expected = format!("expected the folder of {flag}, there is no such folder");
            return Err(Error::data(&source.folder, expected));
        }
        // It is the name of a folder when overlays are written.
        if source.name.is_empty() || source.name.contains(['/', '\\', '\0']) || source.name.starts_with('.') {
            return Err(Error::Config(format!("{flag}: expected a name without `/` before the `=` of {text}")));
        }
        if sources.iter().any(|other| other.name == source.name) {
            let name = &source.name;
            return Err(Error::Config(format!("{flag}: two are called {name}; name them, as in {name}-2={text}")));
        }
        sources.push(source);
    }
    Ok(sources)
}

// A folder whose path has a `=` in it is taken as it is.
fn source(text: &str, kind: SourceKind) -> VizSource {
    let whole = Path::new(text);
    match text.split_once('=').filter(|_| !whole.is_dir()) {
        Some((name, folder)) => VizSource { name: name.to_string(), folder: PathBuf::from(folder), kind },
        None => {
            let resolved = whole.canonicalize().unwrap_or_else(|_| whole.to_path_buf());
            let name =
                resolved.file_name().map_or_else(|| "seeds".to_string(), |name| name.to_string_lossy().into_owned());
            VizSource { name, folder: whole.to_path_buf(), kind }
        }
    }
}
