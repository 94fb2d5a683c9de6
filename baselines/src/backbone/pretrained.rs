//! Weights of other programs, which name the trunk's parameters as its paper's code does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use candle_nn::var_builder::SimpleBackend;
use candle_wsss::{Error, ParameterStore, Result};

use super::BackboneConfig;

/// Sets the trunk below `scope` in `store` from `tensors`, such as those of a torchvision file; gives the names that were
/// not used, sorted: the classifier's, and counts of batches.
///
/// # Errors
/// Naming the first tensor that is missing or misshapen, or that `store` has no parameter for; nothing is changed then.
///
/// ```
/// use std::collections::BTreeMap;
///
/// use candle_core::{DType, Device, Tensor};
/// use candle_wsss::ParameterStore;
/// use candle_wsss_baselines::backbone::{BackboneConfig, SqueezeNetConfig, load_pretrained};
///
/// let config = BackboneConfig::SqueezeNet(SqueezeNetConfig { width_divisor: 16, ..Default::default() });
/// let store = ParameterStore::new();
/// let trunk = config.build(store.var_builder(0, DType::F32, &Device::Cpu).pp("net"))?;
/// // In earnest: candle_core::safetensors::load(path, &Device::Cpu)?.into_iter().collect()
/// let mut tensors: BTreeMap<String, Tensor> =
///     store.snapshot()?.into_iter().map(|(name, tensor)| (name["net.".len()..].to_string(), tensor)).collect();
/// tensors.insert("classifier.1.bias".to_string(), Tensor::zeros(10, DType::F32, &Device::Cpu)?);
/// assert_eq!(load_pretrained(&config, &store, "net", &tensors)?, ["classifier.1.bias"]);
///
/// tensors.remove("features.0.weight");
/// let err = load_pretrained(&config, &store, "net", &tensors).unwrap_err();
/// assert_eq!(err.to_string(), "tensor `features.0.weight`: missing");
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn load_pretrained(
    config: &BackboneConfig,
    store: &ParameterStore,
    scope: &str,
    tensors: &BTreeMap<String, Tensor>,
) -> Result<Vec<String>> {
    let names = config.parameter_names()?;
    let mut wanted = BTreeMap::new();
    for name in &names {
        let tensor = tensors.get(name).ok_or_else(|| Error::state(name, "missing"))?;
        let full = if scope.is_empty() { name.clone() } else { format!("{scope}.{name}") };
        if store.get(&full).is_none() {
            return Err(Error::state(&full, "not a parameter of this model"));
        }
        wanted.insert(full, tensor.clone());
    }
    store.load_partial(&wanted)?;
    Ok(tensors.keys().filter(|name| !names.contains(*name)).cloned().collect())
}

impl BackboneConfig {
    /// Names of the trunk's parameters and statistics, below its scope.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn parameter_names(&self) -> Result<BTreeSet<String>> {
        Ok(self.parameter_shapes()?.into_keys().collect())
    }

    /// Shapes of the trunk's parameters and statistics by their names below its scope.
    ///
    /// # Errors
    /// When the configuration is out of range.
    pub fn parameter_shapes(&self) -> Result<BTreeMap<String, Vec<usize>>> {
        let shapes = Shapes::default();
        self.build(VarBuilder::from_backend(Box::new(shapes.clone()), DType::F32, Device::Cpu))?;
        let shapes = shapes.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(shapes.clone())
    }
}

/// Remembers what it was asked for, and gives one zero that looks like many.
#[derive(Clone, Default)]
struct Shapes(Arc<Mutex<BTreeMap<String, Vec<usize>>>>);

impl SimpleBackend for Shapes {
    fn get(&self, shape: Shape, name: &str, _: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), shape.dims().to_vec());
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name}: no shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
