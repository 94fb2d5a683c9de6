//! `wsss weights`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::backbone::BackboneConfig;
use crate::cli::shared::say;
use crate::error::{Error, Result};
use crate::run::{Progress, expect_writable};
use crate::settings;
use crate::weights::{MappingReport, Weights, map_names, read_weights, write_safetensors};

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
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// `wsss weights convert`.
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// File of weights
    pub file: PathBuf,
    /// Trunk whose parameters are picked and renamed: resnet38d, vgg16, resnet50, `mobilenet_v2`, `squeezenet1_0`. Without it every tensor keeps its name
    #[arg(long, value_name = "NAME")]
    pub backbone: Option<String>,
    /// Change one field of the trunk, as in `--set width_divisor=8`; may come several times
    #[arg(long = "set", value_name = "KEY=VALUE", requires = "backbone")]
    pub settings: Vec<String>,
    /// File to write
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

pub(in crate::cli) fn run(command: &WeightsCommand, _progress: &Progress) -> Result<()> {
    match command {
        WeightsCommand::Inspect(args) => inspect(args),
        WeightsCommand::Convert(args) => convert(args),
    }
}

fn inspect(args: &InspectArgs) -> Result<()> {
    let weights = read_weights(&args.file)?;
    if args.json {
        let json = serde_json::to_string_pretty(&Listing::new(args, &weights));
        return say(&json.map_err(|err| Error::data(&args.file, err.to_string()))?);
    }
    say(&listed(args, &weights))
}

/// What `--json` prints.
#[derive(Serialize)]
struct Listing {
    file: PathBuf,
    format: &'static str,
    num_tensors: usize,
    num_values: usize,
    tensors: Vec<Entry>,
    passed_over: Vec<String>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    stored_as: &'static str,
    shape: Vec<usize>,
}

impl Listing {
    fn new(args: &InspectArgs, weights: &Weights) -> Self {
        let entry = |named: &crate::weights::NamedTensor| Entry {
            name: named.name.clone(),
            stored_as: named.stored_as.name(),
            shape: named.tensor.dims().to_vec(),
        };
        Self {
            file: args.file.clone(),
            format: weights.format.name(),
            num_tensors: weights.tensors.len(),
            num_values: weights.num_values(),
            tensors: weights.tensors.iter().map(entry).collect(),
            passed_over: weights.passed_over.clone(),
        }
    }
}

fn listed(args: &InspectArgs, weights: &Weights) -> String {
    let (count, values) = (weights.tensors.len(), weights.num_values());
    let name = args.file.display();
    let mut lines = vec![format!("{name}: {}, {count} tensors, {values} values", weights.format.name()), String::new()];
    let width = weights.tensors.iter().map(|named| named.name.chars().count()).max().unwrap_or(0);
    lines.extend(
        weights
            .tensors
            .iter()
            .map(|named| format!("{:<width$}  {:<8}  {:?}", named.name, named.stored_as.name(), named.tensor.dims())),
    );
    if !weights.passed_over.is_empty() {
        lines.extend([String::new(), format!("not tensors: {}", weights.passed_over.join(", "))]);
    }
    lines.join("\n")
}

fn convert(args: &ConvertArgs) -> Result<()> {
    let backbone = args.backbone.as_deref().map(|name| trunk(name, &args.settings)).transpose()?;
    if args.out.exists() {
        return Err(Error::OutputExists(args.out.clone()));
    }
    let weights = read_weights(&args.file)?;
    let Some(backbone) = backbone else {
        expect_writable(&args.out)?;
        write_safetensors(&args.out, weights.tensors.iter().map(|named| (named.name.as_str(), &named.tensor)))?;
        return say(&format!("{} tensors under their own names in {}", weights.tensors.len(), args.out.display()));
    };
    let mapped = map_names(&weights, &backbone)?;
    mapped.expect_whole(&args.file)?;
    expect_writable(&args.out)?;
    write_safetensors(&args.out, mapped.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)))?;
    say(&told(args, &mapped.report))
}

fn trunk(name: &str, settings: &[String]) -> Result<BackboneConfig> {
    let plain: BackboneConfig = settings::parse(&format!("type = {name:?}"), "--backbone", &[])?;
    let config = settings::on_top(&plain, "--backbone", settings)?;
    config.validate("backbone")?;
    Ok(config)
}

fn told(args: &ConvertArgs, report: &MappingReport) -> String {
    let MappingReport { backbone, rule, mapped, surplus, .. } = report;
    let renamed: Vec<&(String, String)> = mapped.iter().filter(|(from, to)| from != to).collect();
    let width = renamed.iter().map(|(from, _)| from.chars().count()).max().unwrap_or(0);
    let mut lines = vec![format!("{backbone} trunk, {rule}")];
    lines.extend(renamed.iter().map(|(from, to)| format!("  {from:<width$}  {to}")));
    lines.push(format!("{} mapped, 0 missing, {} surplus", mapped.len(), surplus.len()));
    if !surplus.is_empty() {
        lines.push(format!("surplus, not written: {}", surplus.join(", ")));
    }
    lines.push(format!("written to {}", args.out.display()));
    lines.join("\n")
}
