//! [`MemoryState`]: named tensors that outlive a step.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};

/// Named tensors, always detached, sorted by name.
#[derive(Clone, Debug, Default)]
pub struct MemoryState {
    tensors: BTreeMap<String, Tensor>,
}

impl MemoryState {
    /// Adds a detached tensor.
    ///
    /// # Errors
    /// When the key is taken.
    pub fn insert(&mut self, key: impl Into<String>, value: &Tensor) -> Result<()> {
        let key = key.into();
        if self.tensors.contains_key(&key) {
            return Err(Error::DuplicateName(key));
        }
        self.tensors.insert(key, value.detach());
        Ok(())
    }

    /// Takes in another state, its keys behind `scope.`.
    ///
    /// # Errors
    /// When a key is taken.
    pub fn absorb(&mut self, scope: &str, other: Self) -> Result<()> {
        for (key, value) in other.tensors {
            self.insert(format!("{scope}.{key}"), &value)?;
        }
        Ok(())
    }

    /// Removes and returns everything under `scope.`, without that prefix.
    #[must_use]
    pub fn split_off(&mut self, scope: &str) -> Self {
        let prefix = format!("{scope}.");
        let (mine, rest): (BTreeMap<_, _>, BTreeMap<_, _>) =
            std::mem::take(&mut self.tensors).into_iter().partition(|(key, _)| key.starts_with(&prefix));
        self.tensors = rest;
        let tensors = mine.into_iter().map(|(key, value)| (key[prefix.len()..].to_string(), value)).collect();
        Self { tensors }
    }

    /// Removes and returns one tensor of the given shape.
    ///
    /// # Errors
    /// When it is missing or of another shape.
    pub fn take(&mut self, key: &str, dims: &[usize]) -> Result<Tensor> {
        let tensor = self.tensors.remove(key).ok_or_else(|| Error::state(key, "missing"))?;
        if tensor.dims() != dims {
            return Err(Error::state(key, format!("expected shape {dims:?}, got {:?}", tensor.dims())));
        }
        Ok(tensor)
    }

    /// The end of a restore: nothing may be left over.
    ///
    /// # Errors
    /// When something is.
    pub fn expect_empty(self) -> Result<()> {
        match self.tensors.into_keys().next() {
            None => Ok(()),
            Some(key) => Err(Error::state(key, "unexpected")),
        }
    }

    /// Whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Entries in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(key, value)| (key.as_str(), value))
    }

    /// The bytes of a safetensors file. Same state, same bytes, as long as the metadata has at most one entry: the
    /// format writes several in the order of a hash map.
    ///
    /// # Errors
    /// Those of the format.
    pub fn to_safetensors(&self, metadata: Option<HashMap<String, String>>) -> Result<Vec<u8>> {
        let bytes = safetensors::serialize(self.iter(), metadata).map_err(candle_core::Error::wrap)?;
        Ok(bytes)
    }

    /// From the bytes of a safetensors file.
    ///
    /// # Errors
    /// When the bytes are not such a file.
    pub fn from_safetensors(bytes: &[u8], device: &Device) -> Result<Self> {
        let tensors = candle_core::safetensors::load_buffer(bytes, device)?;
        Ok(Self { tensors: tensors.into_iter().collect() })
    }
}
