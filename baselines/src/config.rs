//! [`RunConfig`]: one TOML file is one run.
//!
//! Every field has a default, an unknown key is an error, and the resolved configuration is written into the run.

use std::collections::BTreeMap;
use std::path::Path;

use candle_nn::VarBuilder;
use candle_wsss::regularizer::RegularizerConfig;
use candle_wsss::{Baseline, ClassLayout};
use serde::{Deserialize, Serialize};

use crate::accumulate::AccumulateConfig;
use crate::backbone::BackboneConfig;
use crate::crf::CrfConfig;
use crate::data::LoaderConfig;
use crate::eps::{Eps, EpsConfig};
use crate::error::{Error, Result};
use crate::eval::{AbsentClass, BootstrapConfig, OpenPixels, ThresholdGrid};
use crate::infer::{InferConfig, MapSource};
use crate::oaa::{Oaa, OaaConfig};
use crate::seam::{Seam, SeamConfig};
use crate::settings;
use crate::train::PolySgdConfig;

mod overlay;
mod train;

pub use train::TrainConfig;

/// Configurations that come with the program.
const BUILTIN: [(&str, &str); 7] = [
    ("embedded", include_str!("../configs/embedded.toml")),
    ("photographs", include_str!("../configs/photographs.toml")),
    ("voc12-seam", include_str!("../configs/voc12-seam.toml")),
    ("voc12-eps", include_str!("../configs/voc12-eps.toml")),
    ("voc12-vgg16-oaa", include_str!("../configs/voc12-vgg16-oaa.toml")),
    ("coco14-eps", include_str!("../configs/coco14-eps.toml")),
    ("pretrain", include_str!("../configs/pretrain.toml")),
];

/// Everything that decides a run, but for where its files are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RunConfig {
    /// Seed of every draw.
    pub seed: u64,
    /// Pretrained weights: a checkpoint or the trunk's own weights under the names of its paper's code, as a path;
    /// `embedded` for those that come with the program; or `none`.
    pub weights: Option<String>,
    /// The network being regularized.
    pub baseline: BaselineConfig,
    /// Regularizers by name; a method names those it stacks.
    pub regularizers: BTreeMap<String, RegularizerConfig>,
    /// Data loading and augmentation.
    pub loader: LoaderConfig,
    /// Length of training.
    pub train: TrainConfig,
    /// The optimizer.
    pub optimizer: PolySgdConfig,
    /// Attention accumulated while training.
    pub accumulate: AccumulateConfig,
    /// Inference of seeds.
    pub infer: InferConfig,
    /// Refinement of seeds by a dense CRF, where it is asked for.
    pub crf: CrfConfig,
    /// Evaluation of seeds.
    pub eval: EvalConfig,
    /// Further baselines by name: what is different under each, any field but `seed`. See
    /// [`with_baseline`](Self::with_baseline).
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub baselines: BTreeMap<String, toml::Table>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            weights: None,
            baseline: BaselineConfig::Seam(SeamConfig::default()),
            regularizers: BTreeMap::new(),
            loader: LoaderConfig::default(),
            train: TrainConfig::default(),
            optimizer: PolySgdConfig::default(),
            accumulate: AccumulateConfig::default(),
            infer: InferConfig::default(),
            crf: CrfConfig::default(),
            eval: EvalConfig::default(),
            baselines: BTreeMap::new(),
        }
    }
}

/// The network, its kind in the field `type`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum BaselineConfig {
    /// SEAM.
    Seam(SeamConfig),
    /// EPS, with or without SEAM's pixel correlation module.
    Eps(EpsConfig),
    /// The network of OAA and RCA.
    #[serde(rename = "vgg16-oaa")]
    Oaa(OaaConfig),
}

impl BaselineConfig {
    /// Name for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Seam(_) => "seam",
            Self::Eps(_) => "eps",
            Self::Oaa(_) => "vgg16-oaa",
        }
    }

    /// Its trunk.
    pub fn backbone(&self) -> &BackboneConfig {
        match self {
            Self::Seam(config) => &config.backbone,
            Self::Eps(config) => &config.backbone,
            Self::Oaa(config) => &config.backbone,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> candle_wsss::Result<()> {
        match self {
            Self::Seam(config) => config.validate(),
            Self::Eps(config) => config.validate(),
            Self::Oaa(config) => config.validate(),
        }
    }

    /// The network, its parameters from `vb`.
    ///
    /// # Errors
    /// When a field is out of range, or a parameter has another shape.
    pub fn build(&self, layout: ClassLayout, vb: VarBuilder<'_>) -> candle_wsss::Result<Box<dyn Baseline>> {
        Ok(match self {
            Self::Seam(config) => Box::new(Seam::new(config.clone(), layout, vb)?),
            Self::Eps(config) => Box::new(Eps::new(config.clone(), layout, vb)?),
            Self::Oaa(config) => Box::new(Oaa::new(config.clone(), layout, vb)?),
        })
    }
}

/// Which background scores seeds are evaluated at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvalConfig {
    /// The score fixed in advance; SEAM's 0.26.
    pub background_score: f64,
    /// The scores of the curve; SEAM's 60, from 0.00 to 0.59.
    pub thresholds: ThresholdGrid,
    /// Whether a class in neither ground truth nor prediction counts as 0, as in the released code, or not at all.
    pub absent_class: AbsentClass,
    /// What becomes of pixels that a label map leaves open (255).
    pub open_pixels: OpenPixels,
    /// Parts of the split for the held-out number: every image is judged at the score best on the other parts.
    pub folds: usize,
    /// Resamples of the bootstrap over images.
    pub bootstrap: BootstrapConfig,
}

impl Default for EvalConfig {
    fn default() -> Self {
        Self {
            background_score: 0.26,
            thresholds: ThresholdGrid::default(),
            absent_class: AbsentClass::default(),
            open_pixels: OpenPixels::default(),
            folds: 2,
            bootstrap: BootstrapConfig::default(),
        }
    }
}

impl EvalConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, reason: String| Err(candle_wsss::Error::config(field, reason).into());
        let (score, thresholds) = (self.background_score, self.thresholds.thresholds()?);
        if !thresholds.iter().any(|threshold| *threshold as f32 == score as f32) {
            return bad("background_score", format!("must be one of the scores of `eval.thresholds`, is {score}"));
        }
        if self.folds < 2 {
            return bad("folds", format!("must be at least 2, is {}", self.folds));
        }
        self.bootstrap.validate()
    }
}

impl RunConfig {
    /// A configuration that comes with the program.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn builtin(name: &str) -> Result<Self> {
        let Some((_, text)) = BUILTIN.iter().find(|(known, _)| *known == name) else {
            let known: Vec<&str> = BUILTIN.iter().map(|(known, _)| *known).collect();
            return Err(Error::Config(format!(
                "no configuration `{name}`; there are {}, or give a file",
                known.join(", ")
            )));
        };
        Self::from_toml(text, name, &[])
    }

    /// From a file or the name of a built-in, with `key.path=value` settings on top.
    ///
    /// # Errors
    /// When the file is missing, a key unknown, or a value out of range.
    pub fn load(name_or_path: &str, settings: &[String]) -> Result<Self> {
        if let Some((name, text)) = BUILTIN.iter().find(|(known, _)| *known == name_or_path) {
            return Self::from_toml(text, name, settings);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            return Self::builtin(name_or_path);
        }
        let text = std::fs::read_to_string(path)
            .map_err(|err| Error::Config(format!("{name_or_path}: no readable configuration: {err}")))?;
        let in_file = |err| Error::Config(format!("{name_or_path}: {err}"));
        settings::parse::<Self>(&text, name_or_path, settings)?.resolved().map_err(in_file)
    }

    /// From TOML text; `origin` is for the messages.
    ///
    /// # Errors
    /// When a key is unknown or a value out of range.
    pub fn from_toml(text: &str, origin: &str, settings: &[String]) -> Result<Self> {
        settings::parse::<Self>(text, origin, settings)?.resolved()
    }

    // The table's key names the instance, so that one kind can be there twice with other settings.
    fn resolved(mut self) -> Result<Self> {
        self.regularizers =
            self.regularizers.into_iter().map(|(key, config)| (key.clone(), config.named(&key))).collect();
        for key in self.regularizers.keys() {
            expect_name("regularizers", key, &["none", "model", "memory", "optim"])?;
        }
        self.validate()?;
        Ok(self)
    }

    /// Checks every field, so that a mistake shows before anything is done.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        self.baseline.validate().map_err(|err| Error::from(err).within("baseline"))?;
        for (name, config) in &self.regularizers {
            config.validate().map_err(|err| Error::from(err).within(&format!("regularizers.{name}")))?;
        }
        self.loader.validate().map_err(|err| err.within("loader"))?;
        self.train.validate().map_err(|err| err.within("train"))?;
        self.optimizer.validate()?;
        self.accumulate.validate().map_err(|err| err.within("accumulate"))?;
        self.infer.check()?;
        self.crf.validate().map_err(|err| err.within("crf"))?;
        self.eval.validate().map_err(|err| err.within("eval"))?;
        self.check_overlays()
    }

    /// Checks what single fields cannot: whether they go together for training and seeds.
    ///
    /// # Errors
    /// Naming the field that does not go with the baseline.
    pub fn expect_trainable(&self) -> Result<()> {
        let name = self.baseline.name();
        let refused = |field: &str, reason: String| Err(candle_wsss::Error::config(field, reason).into());
        match &self.baseline {
            BaselineConfig::Eps(_) if !self.loader.saliency => refused(
                "loader.saliency",
                format!("must be true for `{name}`, which learns from saliency maps, is false"),
            ),
            BaselineConfig::Eps(eps) if eps.pcm.is_none() && self.infer.source == MapSource::Refined => refused(
                "infer.source",
                format!("must be `softmax` for `{name}` without a `pcm`, whose maps are logits, is `refined`"),
            ),
            BaselineConfig::Oaa(_) if self.infer.source == MapSource::Softmax => refused(
                "infer.source",
                format!("must be `refined` for `{name}`, which has no background to put into a soft-max, is `softmax`"),
            ),
            _ => Ok(()),
        }
    }

    /// The whole configuration as TOML.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(self).map_err(|err| Error::Config(format!("configuration: {err}")))
    }

    /// Fields in which this and another configuration differ: path, value here, value there.
    ///
    /// # Errors
    /// When a value cannot be written.
    pub fn differences(&self, other: &Self) -> Result<Vec<(String, String, String)>> {
        Ok(settings::differences(&self.to_table()?, &other.to_table()?))
    }

    fn to_table(&self) -> Result<toml::Table> {
        toml::Table::try_from(self).map_err(|err| Error::Config(format!("configuration: {err}")))
    }

    /// Regularizers of a method: `none`, a name, or several joined by `+`.
    ///
    /// # Errors
    /// When a name is not configured or comes twice.
    pub fn method(&self, method: &str) -> Result<Vec<RegularizerConfig>> {
        if method == "none" {
            return Ok(Vec::new());
        }
        let mut stack: Vec<RegularizerConfig> = Vec::new();
        for name in method.split('+') {
            let Some(config) = self.regularizers.get(name) else {
                let known: Vec<&str> = self.regularizers.keys().map(String::as_str).collect();
                return Err(Error::Config(format!(
                    "no regularizer `{name}` is configured; there are none{}{}",
                    if known.is_empty() { "" } else { ", " },
                    known.join(", ")
                )));
            };
            if stack.iter().any(|other| other.name() == name) {
                return Err(Error::Config(format!("method `{method}`: `{name}` comes twice")));
            }
            stack.push(config.clone());
        }
        Ok(stack)
    }
}

// Names are scopes of parameters and parts of file names, and `+` and `,` stand between them.
fn expect_name(table: &str, name: &str, taken: &[&str]) -> Result<()> {
    let plain = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if plain && !taken.contains(&name) {
        return Ok(());
    }
    let but = if taken.is_empty() { String::new() } else { format!(", and is none of {}", taken.join(", ")) };
    let reason = format!("a name has letters, digits, - and _{but}");
    Err(candle_wsss::Error::config(format!("{table}.{name}"), reason).into())
}
