//! From configuration to model.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_wsss::regularizer::{RegularizerConfig, Site, Twin};
use candle_wsss::{Baseline, ClassLayout, ParameterGroup, ParameterStore, Regularized, SeededSampler};

use crate::backbone::load_pretrained;
use crate::config::RunConfig;
use crate::error::{Error, Result};
use crate::run::network::Network;
use crate::train::PolySgd;
use crate::train::checkpoint::{Checkpoint, METADATA_KEY};
use crate::weights::{map_names, read_weights, safetensors_metadata};

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
    /// Where they are.
    pub device: Device,
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
    let is_twofold = |regularizer: &RegularizerConfig| matches!(regularizer, RegularizerConfig::Pss(_));
    if regularizers.iter().any(is_twofold) && config.baseline.backbone().trains_batch_norm() {
        // Its further passes would move the running statistics, by images of other sizes and outside the step.
        let reason = "must be `frozen` under `pss`, which runs the network more than once a step, is `train`";
        return Err(candle_wsss::Error::config("baseline.backbone.batch_norm", reason).into());
    }
    let baseline = config.baseline.build(layout, vb.pp(MODEL_SCOPE))?;
    let again = config.baseline.clone();
    let twin = Twin::new(store.clone(), MODEL_SCOPE, move |vb| again.build(layout, vb));
    let draws = SeededSampler::new(seed).child("memory");
    let model =
        Model { baseline: stack(baseline, regularizers, Some(twin), &vb, &draws)?, store, device: device.clone() };
    if let Some(weights) = config.weights.as_ref().filter(|weights| *weights != NO_WEIGHTS) {
        load_start(config, &model, weights, device)?;
    }
    Ok(model)
}

fn stack(
    baseline: Box<dyn Baseline>,
    regularizers: &[RegularizerConfig],
    twin: Option<Twin>,
    vb: &VarBuilder<'_>,
    draws: &SeededSampler,
) -> Result<Box<dyn Baseline>> {
    let spec = baseline.spec().clone();
    let site = Site { spec: &spec, twin };
    let mut stacked = Regularized::new(baseline);
    for regularizer in regularizers {
        stacked = stacked.with_boxed(regularizer.build(&site, vb.clone(), draws)?)?;
    }
    Ok(Box::new(stacked))
}

fn load_start(config: &RunConfig, model: &Model, weights: &str, device: &Device) -> Result<()> {
    let path = Path::new(weights);
    let bytes = if weights == EMBEDDED_NAME {
        Cow::Borrowed(EMBEDDED_WEIGHTS)
    } else if is_checkpoint(path)? {
        Cow::Owned(std::fs::read(path).map_err(Error::io(path))?)
    } else {
        return load_trunk(config, model, path);
    };
    let checkpoint = Checkpoint::from_bytes(&bytes, path, device)?;
    let trained_with = checkpoint.info.regularizers;
    let tensors: BTreeMap<String, Tensor> = checkpoint
        .parameters
        .into_iter()
        // Layers that are new in this run start from the seed even where the file has them: their classes differ.
        .filter(|(name, _)| model.baseline.parameter_group(name) != ParameterGroup::FromScratch)
        // So do those of regularizers: a start is one of the network.
        .filter(|(name, _)| !trained_with.iter().any(|scope| Some(scope.as_str()) == name.split('.').next()))
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

// Whether the file is one of this program.
fn is_checkpoint(path: &Path) -> Result<bool> {
    let metadata = safetensors_metadata(path).map_err(|err| match err {
        Error::Data { .. } if !path.exists() => Error::data(path, "expected start weights, there is no such file"),
        err => err,
    })?;
    Ok(metadata.is_some_and(|entries| entries.contains_key(METADATA_KEY)))
}

// Weights of another program, in its format and under its names: the trunk's part of them.
fn load_trunk(config: &RunConfig, model: &Model, path: &Path) -> Result<()> {
    let trunk = config.baseline.backbone();
    let mapped = map_names(&read_weights(path)?, trunk)?;
    mapped.expect_whole(path)?;
    let misfit = |err: candle_wsss::Error| Error::data(path, format!("weights of a {} trunk: {err}", trunk.name()));
    load_pretrained(trunk, &model.store, MODEL_SCOPE, &mapped.tensors).map(drop).map_err(misfit)
}

impl Model {
    /// The network on constant tensors, so that running it builds no graph: the baseline, and of its regularizers those
    /// that take part in evaluation.
    ///
    /// # Errors
    /// When the parameters do not fit the configuration.
    pub fn for_inference(
        &self,
        config: &RunConfig,
        regularizers: &[RegularizerConfig],
        layout: ClassLayout,
    ) -> Result<Network> {
        let tensors: HashMap<String, Tensor> = self.store.snapshot()?.into_iter().collect();
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &self.device);
        let baseline = config.baseline.build(layout, vb.pp(MODEL_SCOPE))?;
        let staying: Vec<RegularizerConfig> =
            regularizers.iter().filter(|regularizer| regularizer.alters_inference()).cloned().collect();
        let mut network = stack(baseline, &staying, None, &vb, &SeededSampler::new(0))?;
        let mut memory = self.baseline.memory()?;
        for leaving in regularizers.iter().filter(|regularizer| !regularizer.alters_inference()) {
            drop(memory.split_off(leaving.name()));
        }
        network.restore(memory)?;
        Ok(Network::new(network, self.device.clone()))
    }
}

/// A model for inference out of a checkpoint, on any device: the baseline alone. All of the checkpoint is checked all the
/// same.
///
/// # Errors
/// When the checkpoint does not fit its own configuration, naming the tensor that is missing, surplus or misshapen.
pub fn from_checkpoint(checkpoint: &Checkpoint, path: &Path, device: &Device) -> Result<(Network, RunConfig)> {
    let misfit = |err: Error| Error::data(path, err.to_string());
    let mut config = RunConfig::from_toml(&checkpoint.info.config, "its configuration", &[]).map_err(misfit)?;
    config.weights = None;
    let layout = ClassLayout::new(checkpoint.info.classes.len()).map_err(|err| misfit(err.into()))?;
    let method = checkpoint.info.regularizers.join("+");
    let regularizers = if method.is_empty() { Vec::new() } else { config.method(&method).map_err(misfit)? };
    let mut model = build(&config, &regularizers, layout, checkpoint.info.seed, device).map_err(misfit)?;
    let mut optimizer = PolySgd::new(config.optimizer.clone(), model.baseline.as_ref(), &model.store, 1)?;
    checkpoint.clone().restore(&model.store, model.baseline.as_mut(), &mut optimizer).map_err(misfit)?;
    Ok((model.for_inference(&config, &regularizers, layout)?, config))
}
