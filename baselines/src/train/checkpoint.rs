//! Checkpoints: one safetensors file with parameters, memory, momentum, and the run they belong to.
//!
//! Keys are the parameters' own names, `memory.…` and `optim.…`. The metadata is one entry, JSON: with several, the
//! order of a hash map would decide the bytes of the file.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_wsss::{Baseline, MemoryState, ParameterStore};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::data::write_atomic;
use crate::error::{Error, Result};
use crate::train::optim::PolySgd;

/// Name and version of the format.
pub const FORMAT: &str = "candle-wsss/1";

/// Entry of the header that only files of this program have.
pub(crate) const METADATA_KEY: &str = "candle-wsss";
const MEMORY: &str = "memory.";
const OPTIM: &str = "optim.";

/// What a checkpoint says of the run it belongs to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointInfo {
    /// [`FORMAT`].
    pub format: String,
    /// Optimizer steps taken.
    pub step: usize,
    /// Seed of the run.
    pub seed: u64,
    /// Class names, in the order of the channels; background, last, is not named.
    pub classes: Vec<String>,
    /// Which images it was trained on: their number, the first and the last.
    #[serde(default)]
    pub images: String,
    /// Names of the regularizers on the baseline.
    pub regularizers: Vec<String>,
    /// The run's configuration, TOML.
    pub config: String,
}

#[derive(Deserialize)]
struct Format {
    format: String,
}

/// A checkpoint as read.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The run it belongs to.
    pub info: CheckpointInfo,
    /// Parameters by name.
    pub parameters: BTreeMap<String, Tensor>,
    /// Memory by key.
    pub memory: BTreeMap<String, Tensor>,
    /// Momentum by parameter name.
    pub velocity: BTreeMap<String, Tensor>,
}

/// Everything a resumed run needs, under the keys of the file.
///
/// # Errors
/// [`Error::Diverged`] naming the first tensor that is not finite: nobody could go on from it.
pub fn gather(
    step: usize,
    store: &ParameterStore,
    model: &dyn Baseline,
    optimizer: &PolySgd,
) -> Result<Vec<(String, Tensor)>> {
    let mut tensors: Vec<(String, Tensor)> =
        store.named_vars().into_iter().map(|(name, var)| (name, var.as_tensor().detach())).collect();
    for (key, value) in model.memory()?.iter() {
        tensors.push((format!("{MEMORY}{key}"), value.clone()));
    }
    for (name, value) in optimizer.velocity() {
        tensors.push((format!("{OPTIM}{name}"), value.clone()));
    }
    expect_finite(step, &tensors)?;
    Ok(tensors)
}

/// Writes named tensors with the given metadata, whole or not at all.
///
/// # Errors
/// When the file cannot be written.
pub fn write(path: &Path, tensors: Vec<(String, Tensor)>, info: &CheckpointInfo) -> Result<()> {
    let json = serde_json::to_string(info).map_err(|err| Error::data(path, err.to_string()))?;
    let metadata = HashMap::from([(METADATA_KEY.to_string(), json)]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|err| Error::data(path, err.to_string()))?;
    write_atomic(path, |out| out.write_all(&bytes))
}

/// Fails unless every value is a finite number.
///
/// # Errors
/// [`Error::Diverged`], naming the first tensor.
pub fn expect_finite(step: usize, tensors: &[(String, Tensor)]) -> Result<()> {
    let Some((_, first)) = tensors.first() else { return Ok(()) };
    // Anything finite times 0 is 0; the sum of the values themselves could be infinite all the same.
    let zero = |tensor: &Tensor| (tensor * 0.0)?.sum_all()?.to_dtype(DType::F64)?.to_device(first.device());
    let zeros = tensors.iter().map(|(_, tensor)| zero(tensor)).collect::<candle_core::Result<Vec<_>>>()?;
    // One copy from the device.
    let zeros = Tensor::stack(&zeros, 0)?.to_vec1::<f64>()?;
    for ((name, tensor), _) in tensors.iter().zip(zeros).filter(|(_, zero)| *zero != 0.0) {
        let values = tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        if let Some(value) = values.into_iter().find(|value| !value.is_finite()) {
            return Err(Error::Diverged { step, what: format!("a value of `{name}`"), value });
        }
    }
    Ok(())
}

impl Checkpoint {
    /// Reads a checkpoint.
    ///
    /// # Errors
    /// When the file is missing, truncated, or no checkpoint of this format.
    pub fn read(path: &Path, device: &Device) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(Error::input(path, "a checkpoint"))?;
        Self::from_bytes(&bytes, path, device)
    }

    /// Reads a checkpoint from bytes; `path` is for the messages.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn from_bytes(bytes: &[u8], path: &Path, device: &Device) -> Result<Self> {
        let broken = |err: String| Error::data(path, format!("no readable safetensors file: {err}"));
        let (_, header) = SafeTensors::read_metadata(bytes).map_err(|err| broken(err.to_string()))?;
        let json = header.metadata().as_ref().and_then(|entries| entries.get(METADATA_KEY));
        let Some(json) = json else {
            return Err(Error::data(
                path,
                format!("no checkpoint of this program: no `{METADATA_KEY}` in its metadata"),
            ));
        };
        let metadata = |err: serde_json::Error| Error::data(path, format!("metadata `{METADATA_KEY}`: {err}"));
        // Before the rest, which another format may not have.
        let Format { format } = serde_json::from_str(json).map_err(metadata)?;
        if format != FORMAT {
            return Err(Error::data(path, format!("expected format {FORMAT}, got {format}")));
        }
        let info: CheckpointInfo = serde_json::from_str(json).map_err(metadata)?;
        let tensors =
            candle_core::safetensors::load_buffer(bytes, device).map_err(|err| broken(Error::from(err).to_string()))?;
        let mut checkpoint =
            Self { info, parameters: BTreeMap::new(), memory: BTreeMap::new(), velocity: BTreeMap::new() };
        // Order does not matter: everything goes into sorted maps.
        let tensors: BTreeMap<String, Tensor> = tensors.into_iter().collect();
        for (key, tensor) in tensors {
            if let Some(key) = key.strip_prefix(MEMORY) {
                checkpoint.memory.insert(key.to_string(), tensor);
            } else if let Some(key) = key.strip_prefix(OPTIM) {
                checkpoint.velocity.insert(key.to_string(), tensor);
            } else {
                checkpoint.parameters.insert(key, tensor);
            }
        }
        Ok(checkpoint)
    }

    /// Puts everything back where it was. Call on a model built from the same configuration.
    ///
    /// # Errors
    /// Naming the first tensor that is missing, surplus or misshapen.
    pub fn restore(self, store: &ParameterStore, model: &mut dyn Baseline, optimizer: &mut PolySgd) -> Result<()> {
        let mut memory = MemoryState::default();
        for (key, tensor) in &self.memory {
            memory.insert(key.as_str(), tensor)?;
        }
        store.load_exact(&self.parameters)?;
        model.restore(memory)?;
        optimizer.restore(self.info.step, self.velocity)
    }
}
