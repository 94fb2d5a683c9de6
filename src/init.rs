//! Parameters by name: seeded initialisation that does not depend on the order of construction.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::init::{Init, NormalOrUniform};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{VarBuilder, init};

use crate::error::{Error, Result};
use crate::sampler::{Sampler, SeededSampler};

/// All parameters of a model, sorted by name.
///
/// Unlike candle's `VarMap`, a new parameter draws from a stream of its own name, so its start depends on the seed and
/// the name alone; and the order of the names is the same in every process.
#[derive(Clone, Debug, Default)]
pub struct ParameterStore {
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
}

impl ParameterStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// A builder whose new parameters land in this store and start from `seed`.
    pub fn var_builder(&self, seed: u64, dtype: DType, device: &Device) -> VarBuilder<'static> {
        let backend = SeededBackend { store: self.clone(), sampler: SeededSampler::new(seed) };
        VarBuilder::from_backend(Box::new(backend), dtype, device.clone())
    }

    /// Names and variables, sorted by name.
    pub fn named_vars(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The variable of that name.
    pub fn get(&self, name: &str) -> Option<Var> {
        self.lock().get(name).cloned()
    }

    /// Copies of all values under their names, safe from later updates.
    ///
    /// # Errors
    /// Those of candle.
    pub fn snapshot(&self) -> Result<BTreeMap<String, Tensor>> {
        self.lock().iter().map(|(name, var)| Ok((name.clone(), var.as_tensor().copy()?.detach()))).collect()
    }

    /// Sets every parameter from `tensors`, which must hold exactly these names and shapes.
    ///
    /// # Errors
    /// Naming the first missing, misshapen or surplus tensor; nothing is changed then.
    pub fn load_exact(&self, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
        let vars = self.lock();
        if let Some(name) = tensors.keys().find(|name| !vars.contains_key(*name)) {
            return Err(Error::state(name, "not a parameter of this model"));
        }
        for name in vars.keys() {
            if !tensors.contains_key(name) {
                return Err(Error::state(name, "missing"));
            }
        }
        set_all(&vars, tensors)
    }

    /// Sets the parameters that `tensors` has; says which names were used, missing and surplus.
    ///
    /// # Errors
    /// When a tensor of a known name has another shape; nothing is changed then.
    pub fn load_partial(&self, tensors: &BTreeMap<String, Tensor>) -> Result<LoadReport> {
        let vars = self.lock();
        let known: BTreeMap<String, Tensor> = tensors
            .iter()
            .filter(|(name, _)| vars.contains_key(*name))
            .map(|(name, tensor)| (name.clone(), tensor.clone()))
            .collect();
        set_all(&vars, &known)?;
        Ok(LoadReport {
            missing: vars.keys().filter(|name| !tensors.contains_key(*name)).cloned().collect(),
            surplus: tensors.keys().filter(|name| !vars.contains_key(*name)).cloned().collect(),
            loaded: known.into_keys().collect(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        self.vars.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a partial load did, names sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadReport {
    /// Parameters that were set.
    pub loaded: Vec<String>,
    /// Parameters the file has not.
    pub missing: Vec<String>,
    /// Tensors of the file that are no parameter.
    pub surplus: Vec<String>,
}

// Checks everything first, so that a misfit changes nothing.
fn set_all(vars: &BTreeMap<String, Var>, tensors: &BTreeMap<String, Tensor>) -> Result<()> {
    for (name, tensor) in tensors {
        let want = vars[name].dims();
        if tensor.dims() != want {
            return Err(Error::state(name, format!("expected shape {want:?}, got {:?}", tensor.dims())));
        }
    }
    for (name, tensor) in tensors {
        let var = &vars[name];
        var.set(&tensor.to_dtype(var.dtype())?.to_device(var.device())?)?;
    }
    Ok(())
}

struct SeededBackend {
    store: ParameterStore,
    sampler: SeededSampler,
}

impl SimpleBackend for SeededBackend {
    fn get(&self, shape: Shape, name: &str, hint: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let mut vars = self.store.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape {
                let reason = format!("expected shape {:?}, got {:?}", shape.dims(), var.dims());
                return Err(Error::state(name, reason).into());
            }
            return Ok(var.as_tensor().clone());
        }
        let values = draw(&shape, hint, &mut self.sampler.child(name))?;
        let var = Var::from_tensor(&Tensor::from_vec(values, shape, device)?.to_dtype(dtype)?)?;
        vars.insert(name.to_string(), var.clone());
        Ok(var.as_tensor().clone())
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        match self.store.get(name) {
            Some(var) => var.as_tensor().to_dtype(dtype)?.to_device(device),
            None => Err(Error::state(name, "missing").into()),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.store.get(name).is_some()
    }
}

fn draw(shape: &Shape, hint: Init, sampler: &mut SeededSampler) -> Result<Vec<f64>> {
    let len = shape.elem_count();
    let values = match hint {
        Init::Const(value) => vec![value; len],
        Init::Randn { mean, stdev } => normal(len, mean, stdev, sampler)?,
        Init::Uniform { lo, up } => uniform(len, lo, up, sampler)?,
        Init::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape) as f64).sqrt();
            match dist {
                NormalOrUniform::Normal => normal(len, 0.0, std, sampler)?,
                NormalOrUniform::Uniform => {
                    let bound = 3f64.sqrt() * std;
                    uniform(len, -bound, bound, sampler)?
                }
            }
        }
    };
    Ok(values)
}

fn normal(len: usize, mean: f64, std: f64, sampler: &mut SeededSampler) -> Result<Vec<f64>> {
    Ok(sampler.normal(len)?.into_iter().map(|z| mean + std * z).collect())
}

fn uniform(len: usize, low: f64, high: f64, sampler: &mut SeededSampler) -> Result<Vec<f64>> {
    Ok(sampler.uniform(len)?.into_iter().map(|u| low + (high - low) * u).collect())
}

/// PyTorch's default for convolutions: uniform within `1 / sqrt(fan_in)`.
pub const CONV_DEFAULT: Init = Init::Kaiming {
    dist: NormalOrUniform::Uniform,
    fan: init::FanInOut::FanIn,
    // Kaiming with a = sqrt(5) has gain sqrt(1/3), which makes the bound 1 / sqrt(fan_in).
    non_linearity: init::NonLinearity::ExplicitGain(0.577_350_269_189_625_8),
};
