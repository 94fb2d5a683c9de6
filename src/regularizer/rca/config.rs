//! Configuration. The defaults are what the released code does; its oddities are options with a name.

use serde::{Deserialize, Serialize};

use super::options::{
    Attention, EmbeddingNorm, FineHead, ImageReduction, MemorySpace, MemoryStart, MixUp, ProjectionGroup, RcaInference,
    UpdateMasking,
};
use crate::baseline::BaselineSpec;
use crate::error::{Error, Result};
use crate::regularizer::ranges::{self, at_least_one, not_negative, positive, share};

/// Configuration of [`RcaRegularizer`](super::RcaRegularizer). The default is the released code.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RcaConfig {
    /// Scope of the terms, the memory and the parameters.
    pub name: String,
    /// Layers that make the fine maps.
    pub head: FineHead,
    /// Channels of the embedding map; as many as the features have if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub embedding_dim: Option<usize>,
    /// Batch normalisation of the embedding map.
    pub embedding_norm: EmbeddingNorm,
    /// Weight of the classification by the fine maps.
    pub fine_weight: f64,
    /// Weight of the contrast.
    pub contrast_weight: f64,
    /// First epoch, from 0, whose objective has the contrast.
    pub contrast_from_epoch: usize,
    /// Temperature of the soft-max over the memory.
    pub temperature: f64,
    /// Lower bound of the sum of exponentials under the logarithm, the largest exponential of the memory being 1.
    pub clamp_min: f64,
    /// Mixing of region embeddings.
    pub mixup: MixUp,
    /// How the images' contrasts become one number.
    pub image_reduction: ImageReduction,
    /// Slots of each class.
    pub memory_length: usize,
    /// Share of an old slot that stays, in `[0, 1]`.
    pub memory_momentum: f64,
    /// What the slots hold.
    pub memory_space: MemorySpace,
    /// What the slots hold before they are written.
    pub memory_start: MemoryStart,
    /// A class of an image is written when its probability exceeds this, in `[0, 1]`.
    pub gate: f64,
    /// Pixels an embedding is pooled over when several classes of an image are written.
    pub update_masking: UpdateMasking,
    /// Centroids of each class.
    pub clusters: usize,
    /// Rounds of k-means, which ends earlier when no slot changes its centroid.
    pub kmeans_iterations: usize,
    /// How pixels weigh the centroids.
    pub attention: Attention,
    /// Learning rate of the layers of the aggregation.
    pub projection_group: ProjectionGroup,
    /// What evaluation sees.
    pub inference: RcaInference,
}

impl Default for RcaConfig {
    fn default() -> Self {
        Self {
            name: "rca".to_string(),
            head: FineHead::default(),
            embedding_dim: None,
            embedding_norm: EmbeddingNorm::Batch,
            fine_weight: 1.0,
            contrast_weight: 0.01,
            contrast_from_epoch: 2,
            temperature: 0.07,
            clamp_min: 1e-4,
            mixup: MixUp::Beta(8.0),
            image_reduction: ImageReduction::Sum,
            memory_length: 500,
            memory_momentum: 0.99,
            memory_space: MemorySpace::Backbone,
            memory_start: MemoryStart::Normal,
            gate: 0.7,
            update_masking: UpdateMasking::Cumulative,
            clusters: 10,
            // The default of scikit-learn, whose k-means the released code calls.
            kmeans_iterations: 300,
            attention: Attention::ScaledProduct,
            projection_group: ProjectionGroup::Pretrained,
            inference: RcaInference::Aggregated,
        }
    }
}

impl RcaConfig {
    /// The released code with its evident slips put right: memory and queries in one space, slots that start from
    /// features, a soft-max over the centroids, every class pooled over its own region, images averaged, new layers
    /// trained as new.
    ///
    /// These are the intended variants, not measured ones.
    pub fn intended() -> Self {
        Self {
            image_reduction: ImageReduction::Mean,
            memory_space: MemorySpace::Query,
            memory_start: MemoryStart::Features,
            update_masking: UpdateMasking::Own,
            attention: Attention::SoftMax,
            projection_group: ProjectionGroup::FromScratch,
            ..Self::default()
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        ranges::name(&self.name)?;
        at_least_one("head.hidden", self.head.hidden().unwrap_or(1))?;
        at_least_one("embedding_dim", self.embedding_dim.unwrap_or(1))?;
        not_negative("fine_weight", self.fine_weight)?;
        not_negative("contrast_weight", self.contrast_weight)?;
        positive("temperature", self.temperature)?;
        positive("clamp_min", self.clamp_min)?;
        if let MixUp::Beta(parameter) = self.mixup {
            positive("mixup.beta", parameter)?;
        }
        at_least_one("memory_length", self.memory_length)?;
        share("memory_momentum", self.memory_momentum)?;
        share("gate", self.gate)?;
        at_least_one("clusters", self.clusters)?;
        at_least_one("kmeans_iterations", self.kmeans_iterations)
    }

    /// Whether evaluation goes through the aggregated features.
    pub fn alters_inference(&self) -> bool {
        self.inference == RcaInference::Aggregated
    }

    /// Channels of the embedding map on a baseline.
    ///
    /// # Errors
    /// When embeddings could not be compared with the memory's rows.
    pub fn embedding_dim_on(&self, spec: &BaselineSpec) -> Result<usize> {
        let dim = self.embedding_dim.unwrap_or(spec.feature_dim);
        if self.memory_space == MemorySpace::Backbone && dim != spec.feature_dim {
            let reason = format!(
                "must be {}, the channels of the features, is {dim}: with `memory_space = \"backbone\"` the memory holds \
                 features, which the embeddings are compared with",
                spec.feature_dim
            );
            return Err(Error::config("embedding_dim", reason));
        }
        Ok(dim)
    }

    /// Channels of the memory's rows on a baseline.
    ///
    /// # Errors
    /// As for [`Self::embedding_dim_on`].
    pub fn memory_dim_on(&self, spec: &BaselineSpec) -> Result<usize> {
        let embedding_dim = self.embedding_dim_on(spec)?;
        Ok(match self.memory_space {
            MemorySpace::Backbone => spec.feature_dim,
            MemorySpace::Query => embedding_dim,
        })
    }
}
