//! [`RcaMemory`]: regions of the whole data set, and their centroids.

use candle_core::{DType, Device, Tensor};

use super::options::MemoryStart;
use super::{RcaConfig, cluster};
use crate::baseline::BaselineSpec;
use crate::error::Result;
use crate::memory::{ClassQueue, MemoryState};
use crate::sampler::Sampler;

/// What outlives a step.
#[derive(Clone, Debug)]
pub struct RcaMemory {
    /// `(num_foreground, memory_length, D)`: embeddings of regions.
    pub queue: ClassQueue,
    /// `(num_foreground, clusters, D)`: centroids of the slots, made at the start of each epoch but the first.
    pub centroids: Tensor,
}

impl RcaMemory {
    /// The memory before the first step: centroids are standard normal, slots as configured.
    ///
    /// # Errors
    /// When the configuration does not fit the baseline; those of a replayed sampler.
    pub fn start(
        config: &RcaConfig,
        spec: &BaselineSpec,
        dtype: DType,
        device: &Device,
        sampler: &dyn Sampler,
    ) -> Result<Self> {
        let [slots, centroids] = dims(config, spec)?;
        let queue = match config.memory_start {
            MemoryStart::Normal => ClassQueue::normal(slots, dtype, device, sampler.fork("queue").as_mut())?,
            MemoryStart::Features => ClassQueue::unwritten(slots, dtype, device)?,
        };
        let draws = sampler.fork("centroids").normal(centroids.iter().product())?;
        Ok(Self { queue, centroids: Tensor::from_vec(draws, &centroids, device)?.to_dtype(dtype)? })
    }

    /// The same with the centroids of its slots as they are now.
    ///
    /// # Errors
    /// Those of candle or of a replayed sampler.
    pub fn clustered(&self, config: &RcaConfig, sampler: &dyn Sampler) -> Result<Self> {
        let centroids = cluster(&self.queue, &self.centroids, config.kmeans_iterations, sampler)?;
        Ok(Self { queue: self.queue.clone(), centroids })
    }

    /// That of a saved state, which must hold nothing else.
    ///
    /// # Errors
    /// Naming the first tensor that is missing, misshapen, out of range or surplus.
    pub fn from_memory(
        config: &RcaConfig,
        spec: &BaselineSpec,
        mut state: MemoryState,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let [slots, centroids] = dims(config, spec)?;
        let queue = ClassQueue::take_from(&mut state, slots, dtype, device)?;
        let centroids = state.take("centroids", &centroids)?.to_dtype(dtype)?.to_device(device)?;
        state.expect_empty()?;
        Ok(Self { queue, centroids })
    }

    /// All of it: `queue`, `pointer`, `filled`, `centroids`.
    ///
    /// # Errors
    /// Those of candle.
    pub fn to_memory(&self) -> Result<MemoryState> {
        let mut state = MemoryState::default();
        self.queue.insert_into(&mut state)?;
        state.insert("centroids", &self.centroids)?;
        Ok(state)
    }
}

// Of the slots and of the centroids.
fn dims(config: &RcaConfig, spec: &BaselineSpec) -> Result<[[usize; 3]; 2]> {
    let (classes, dim) = (spec.layout.num_foreground(), config.memory_dim_on(spec)?);
    Ok([config.memory_length, config.clusters].map(|rows| [classes, rows, dim]))
}
