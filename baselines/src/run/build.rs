//! From configuration to model.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_wsss::regularizer::RegularizerConfig;
use candle_wsss::{Baseline, ClassLayout, ParameterGroup, ParameterStore, Regularized, SeededSampler};

use crate::config::{BaselineConfig, RunConfig};
use crate::error::{Error, Result};
use crate::seam::Seam;
use crate::train::PolySgd;
use crate::train::checkpoint::Checkpoint;

/// Start weights that come with the program, and their name in a configuration.
const EMBEDDED_NAME: &str = "embedded";
const EMBEDDED_WEIGHTS: &[u8] = include_bytes!("../../weights/embedded-start.safetensors");

/// What `weights` is set to where a configuration has some and none are wanted.
const NO_WEIGHTS: &str = "none";

/// Scope of the baseline's parameters.
pub(crate) const MODEL_SCOPE: &str = "model";

/// A baseline with its regularizers, and the parameters of both.
pub struct Model {
    /// The baseline, wrapped.
    pub baseline: Box<dyn Baseline>,
    /// All parameters by name.
    pub store: ParameterStore,
}

/// Builds the network and stacks the regularizers, then loads the start weights.
///
/// A parameter's start depends on `seed` and its name alone, so the baseline's part is the same under every stack.
///
/// # Errors
/// When a setting is out of range or the start weights do not fit.
pub fn build(
    config: &RunConfig,
    regularizers: &[RegularizerConfig],
    layout: ClassLayout,
    seed: u64,
    device: &Device,
) -> Result<Model> {
    let store = ParameterStore::new();
    let vb = store.var_builder(seed, DType::F32, device);
    let BaselineConfig::Seam(seam) = &config.baseline;
    let seam = Seam::new(seam.clone(), layout, vb.pp(MODEL_SCOPE))?;
    let spec = seam.spec().clone();
    let draws = SeededSampler::new(seed).child("memory");
    let mut stacked = Regularized::new(seam);
    for regularizer in regularizers {
        stacked = stacked.with_boxed(regularizer.build(&spec, vb.clone(), &draws)?)?;
    }
    let model = Model { baseline: Box::new(stacked), store };
    if let Some(weights) = config.weights.as_ref().filter(|weights| *weights != NO_WEIGHTS) {
        load_start(&model, weights, device)?;
    }
    Ok(model)
}

fn load_start(model: &Model, weights: &str, device: &Device) -> Result<()> {
    let path = Path::new(weights);
    let checkpoint = if weights == EMBEDDED_NAME {
        Checkpoint::from_bytes(EMBEDDED_WEIGHTS, path, device)?
    } else {
        Checkpoint::read(path, device)?
    };
    let tensors: BTreeMap<String, Tensor> = checkpoint
        .parameters
        .into_iter()
        // Layers that are new in this run start from the seed even where the file has them: their classes differ.
        .filter(|(name, _)| model.baseline.parameter_group(name) != ParameterGroup::FromScratch)
        .collect();
    let report = model.store.load_partial(&tensors).map_err(|err| Error::data(path, err.to_string()))?;
    let scope = format!("{MODEL_SCOPE}.");
    let missing = report
        .missing
        .iter()
        .find(|name| name.starts_with(&scope) && model.baseline.parameter_group(name) != ParameterGroup::FromScratch);
    if let Some(name) = missing {
        return Err(Error::data(path, format!("start weights have no tensor `{name}`")));
    }
    if let Some(name) = report.surplus.first() {
        return Err(Error::data(path, format!("start weights have a tensor `{name}` this network has not")));
    }
    Ok(())
}

impl Model {
    /// The baseline alone, on constant tensors, so that running it builds no graph.
    ///
    /// # Errors
    /// When the parameters do not fit the configuration.
    pub fn for_inference(&self, config: &RunConfig, layout: ClassLayout) -> Result<Box<dyn Baseline>> {
        inference_network(config, layout, self.store.snapshot()?)
    }
}

fn inference_network(
    config: &RunConfig,
    layout: ClassLayout,
    parameters: BTreeMap<String, Tensor>,
) -> Result<Box<dyn Baseline>> {
    let tensors: HashMap<String, Tensor> = parameters.into_iter().collect();
    let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
    let BaselineConfig::Seam(seam) = &config.baseline;
    Ok(Box::new(Seam::new(seam.clone(), layout, vb.pp(MODEL_SCOPE))?))
}

/// A model for inference out of a checkpoint: the baseline alone. All of the checkpoint is checked all the same.
///
/// # Errors
/// When the checkpoint does not fit its own configuration, naming the tensor that is missing, surplus or misshapen.
pub fn from_checkpoint(checkpoint: &Checkpoint, path: &Path) -> Result<(Box<dyn Baseline>, RunConfig)> {
    let misfit = |err: Error| Error::data(path, err.to_string());
    let mut config = RunConfig::from_toml(&checkpoint.info.config, "its configuration", &[]).map_err(misfit)?;
    config.weights = None;
    let layout = ClassLayout::new(checkpoint.info.classes.len()).map_err(|err| misfit(err.into()))?;
    let method = checkpoint.info.regularizers.join("+");
    let regularizers = if method.is_empty() { Vec::new() } else { config.method(&method).map_err(misfit)? };
    let mut model = build(&config, &regularizers, layout, checkpoint.info.seed, &Device::Cpu).map_err(misfit)?;
    let mut optimizer = PolySgd::new(config.optimizer.clone(), model.baseline.as_ref(), &model.store, 1)?;
    checkpoint.clone().restore(&model.store, model.baseline.as_mut(), &mut optimizer).map_err(misfit)?;
    Ok((model.for_inference(&config, layout)?, config))
}
