//! RCA, regional semantic contrast and aggregation: regions of an image against regions of the whole data set.
//!
//! The baseline's raw class maps of the source view are the coarse maps, trained by the baseline itself. Where they are
//! above average lie the [`Regions`]. A memory of regions ([`ClassQueue`](crate::ClassQueue)) serves twice: embeddings of
//! regions are contrasted with its slots ([`region_contrast`]), and its centroids ([`cluster`]) are looked up by every
//! pixel to enrich the features that the fine maps are made of ([`RcaHeads`]). Confident regions are written back
//! ([`update_memory`]).
//!
//! # Terms
//! * `fine`: multi-label soft margin of the fine maps' spatial means with the image labels.
//! * `contrast`: from the epoch `contrast_from_epoch` on.
//!
//! # Memory
//! `queue`, `pointer`, `filled`, `centroids`: see [`RcaMemory`]. The latter are made anew at the first step of each epoch
//! but the first.
//!
//! # Waiting for the device
//! What is written where depends on the maps, so a step reads back twice: how many pixels each region has (a number per
//! image and class, [`Regions::new`]) and, at its end, the probabilities ([`update_memory`], as many). Draws, positions in
//! the memory and numbers of written slots are the host's own. The first step of an epoch also reads the nearest centroid
//! of each slot once a round ([`cluster`]).
//!
//! # Parameters
//! `extra_F.{0,1,3}.*`, `Q.*`, `K.*`, `V.*`, `aggre.*`, `concat_project.*`, `extra_convs{i}.*`: see [`RcaHeads`].
//!
//! # Inference
//! The fine maps take the place of the foreground maps, their means that of the logits; there is no refined map then.
//!
//! # Reference
//! Zhou et al., "Regional Semantic Contrast and Aggregation for Weakly Supervised Semantic Segmentation", CVPR 2022, as
//! released; [`RcaConfig`] names where that differs from the evident intention.

mod config;
mod contrast;
mod heads;
mod kmeans;
mod layers;
mod memory;
mod options;
mod regions;
mod update;

pub use config::RcaConfig;
pub use contrast::{RegionContrast, RegionPair, region_contrast};
pub use heads::{Aggregated, RcaHeads};
pub use kmeans::cluster;
pub use memory::RcaMemory;
pub use options::{
    Attention, EmbeddingNorm, FineHead, ImageReduction, MemorySpace, MemoryStart, MixUp, ProjectionGroup, RcaInference,
    UpdateMasking,
};
pub use regions::Regions;
pub use update::update_memory;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;

use crate::baseline::{BaselineSpec, ParameterGroup, Step, ViewOutput};
use crate::error::{Error, Result};
use crate::memory::MemoryState;
use crate::objective::{LossTerms, Objective};
use crate::ops::{Corners, resize_bilinear, soft_margin};
use crate::regularizer::Regularizer;
use crate::sampler::Sampler;
use crate::view::View;

/// RCA as a plug-in of any baseline.
#[derive(Debug)]
pub struct RcaRegularizer {
    config: RcaConfig,
    spec: BaselineSpec,
    heads: RcaHeads,
    memory: RcaMemory,
    dtype: DType,
    device: Device,
}

impl RcaRegularizer {
    /// For baselines of that specification. Heads come from `vb`, which is scoped to this regularizer already, the
    /// memory's start from `sampler`.
    ///
    /// # Errors
    /// When the configuration is invalid or does not fit the baseline, or `vb` has a parameter of another shape.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_wsss::regularizer::rca::{FineHead, RcaConfig, RcaRegularizer};
    /// use candle_wsss::{BaselineSpec, ClassLayout, ParameterStore, SeededSampler};
    ///
    /// let spec = BaselineSpec { layout: ClassLayout::new(3)?, feature_dim: 8, stride: 8 };
    /// let store = ParameterStore::new();
    /// let vb = store.var_builder(0, DType::F32, &Device::Cpu);
    /// let head = FineHead::Shared { hidden: Some(4), layers: 1 };
    /// let config = RcaConfig { head, memory_length: 20, ..RcaConfig::default() };
    /// let new = |config: RcaConfig| RcaRegularizer::new(config, &spec, vb.pp("rca"), &mut SeededSampler::new(0));
    /// assert!(new(config.clone()).is_ok());
    /// // Embeddings of 4 channels cannot be compared with a memory of features, which have 8.
    /// assert!(new(RcaConfig { embedding_dim: Some(4), ..config }).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(config: RcaConfig, spec: &BaselineSpec, vb: VarBuilder<'_>, sampler: &mut dyn Sampler) -> Result<Self> {
        config.validate()?;
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        Ok(Self {
            heads: RcaHeads::new(spec, &config, &vb)?,
            memory: RcaMemory::start(&config, spec, dtype, &device, sampler)?,
            spec: spec.clone(),
            config,
            dtype,
            device,
        })
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &RcaConfig {
        &self.config
    }

    /// Its layers.
    pub fn heads(&self) -> &RcaHeads {
        &self.heads
    }

    /// What it remembers.
    pub fn remembered(&self) -> &RcaMemory {
        &self.memory
    }

    fn fine_maps(&self, features: &Tensor, centroids: &Tensor) -> Result<Tensor> {
        self.heads.fine(&self.heads.aggregate(features, centroids, self.config.attention)?.features)
    }

    // The coarse maps, at the size of the features.
    fn regions(&self, step: &Step<'_>) -> Result<Regions> {
        let ViewOutput { cam, features, .. } = &step.outputs.source;
        let (_, _, h, w) = features.dims4()?;
        let coarse = cam.detach().narrow(1, 0, self.spec.layout.num_foreground())?;
        Regions::new(&resized(&coarse, (h, w))?, step.labels)
    }
}

impl Regularizer for RcaRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        let Self { config, .. } = self;
        let output = &step.outputs.source;
        output.check(&self.spec)?;
        if step.labels.is_empty() {
            return Err(Error::value("batch", "must have at least one image"));
        }
        let progress = step.progress;
        let mut memory = if progress.is_epoch_start && progress.epoch > 0 {
            self.memory.clustered(config, sampler.fork("kmeans").as_ref())?
        } else {
            self.memory.clone()
        };
        let regions = self.regions(step)?;
        let logits = self.fine_maps(&output.features, &memory.centroids)?.mean((2, 3))?;
        let mut terms = LossTerms::default();
        if config.fine_weight > 0.0 {
            terms.push("fine", config.fine_weight, soft_margin(&logits, step.labels.multi_hot())?)?;
        }
        let has_contrast = config.contrast_weight > 0.0 && progress.epoch >= config.contrast_from_epoch;
        let has_queries = config.memory_space == MemorySpace::Query;
        let embeddings =
            (has_contrast || has_queries).then(|| self.heads.embed_in_training(&output.features)).transpose()?;
        if let Some(embeddings) = embeddings.as_ref().filter(|_| has_contrast) {
            match region_contrast(embeddings, &regions, step.labels, &memory.queue, config, sampler)? {
                Some(contrast) => terms.push("contrast", config.contrast_weight, contrast.value)?,
                None if step.labels.in_batch().is_empty() => terms.omit("contrast", "no foreground label in the batch"),
                None => terms.omit("contrast", "no label of the batch has both a region and a written slot"),
            }
        }
        let probabilities = candle_nn::ops::sigmoid(&logits.detach())?;
        let map = embeddings.as_ref().filter(|_| has_queries).unwrap_or(&output.features);
        memory.queue = update_memory(map, &regions, &probabilities, step.labels, &memory.queue, config)?;
        Ok(Objective { terms, memory: memory.to_memory()? })
    }

    fn infer(&self, _view: &View, output: ViewOutput) -> Result<ViewOutput> {
        if self.config.inference == RcaInference::Baseline {
            return Ok(output);
        }
        output.check(&self.spec)?;
        let layout = self.spec.layout;
        let (_, _, h, w) = output.cam.dims4()?;
        let fine = self.fine_maps(&output.features, &self.memory.centroids)?;
        let logits = fine.mean((2, 3))?;
        let background = output.cam.narrow(1, layout.background(), 1)?;
        let cam = Tensor::cat(&[&resized(&fine, (h, w))?, &background], 1)?;
        Ok(ViewOutput { logits, cam, refined_cam: None, features: output.features })
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.heads.parameter_group(name)
    }

    fn commit(&mut self, next: MemoryState) -> Result<()> {
        self.memory = RcaMemory::from_memory(&self.config, &self.spec, next, self.dtype, &self.device)?;
        Ok(())
    }

    fn memory(&self) -> Result<MemoryState> {
        self.memory.to_memory()
    }
}

// Bilinear with aligned corners; as it is if it has the size already.
fn resized(map: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = map.dims4()?;
    if (h, w) == size { Ok(map.clone()) } else { resize_bilinear(map, size, Corners::Aligned) }
}
