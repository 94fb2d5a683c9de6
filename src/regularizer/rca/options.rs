//! What can be chosen, each with the released code's choice first.

use serde::{Deserialize, Serialize};

/// Layers that make a map of every foreground class from the aggregated features: 3x3 convolutions with `relu`, then
/// a 1x1 convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum FineHead {
    /// A stack for each class, with one output. Released.
    PerClass {
        /// Channels between the layers; as many as the features have if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hidden: Option<usize>,
        /// 3x3 convolutions.
        #[serde(default = "released_layers")]
        layers: usize,
    },
    /// One stack with an output for each class. Cheaper by about the number of classes.
    Shared {
        /// Channels between the layers; as many as the features have if not given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hidden: Option<usize>,
        /// 3x3 convolutions.
        #[serde(default = "released_layers")]
        layers: usize,
    },
}

const fn released_layers() -> usize {
    3
}

impl FineHead {
    /// Channels between the layers, if given.
    pub const fn hidden(self) -> Option<usize> {
        match self {
            Self::PerClass { hidden, .. } | Self::Shared { hidden, .. } => hidden,
        }
    }

    /// 3x3 convolutions.
    pub const fn layers(self) -> usize {
        match self {
            Self::PerClass { layers, .. } | Self::Shared { layers, .. } => layers,
        }
    }
}

impl Default for FineHead {
    fn default() -> Self {
        Self::PerClass { hidden: None, layers: released_layers() }
    }
}

/// How pixels weigh the centroids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attention {
    /// `q·k * foreground classes / centroids of a class`. Released: a division by the number of centroids was meant, and
    /// the order of evaluation makes it a factor.
    ScaledProduct,
    /// `softmax(q·k / √channels)` over all centroids.
    SoftMax,
}

/// What the memory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemorySpace {
    /// Features of the trunk, although queries are embeddings. Released.
    Backbone,
    /// Embeddings, as the queries are.
    Query,
}

/// What the memory holds before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemoryStart {
    /// Standard normal rows, which take part like all others. Released.
    Normal,
    /// Nothing: a slot takes part once it is written, and the first embedding is stored as it is.
    Features,
}

/// How the images' contrasts become one number. Images without a region do not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ImageReduction {
    /// Their sum, which grows with the batch. Released.
    Sum,
    /// Their mean.
    Mean,
}

/// Pixels an embedding is pooled over when several classes of an image are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UpdateMasking {
    /// Those of its region that all classes written before it have too, while the divisor counts its own region.
    /// Released: the masked features overwrite the features.
    Cumulative,
    /// Its region.
    Own,
}

/// Batch normalisation inside `extra_F`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EmbeddingNorm {
    /// By the mean and the variance of the batch, and trained. Released. Embeddings are made in training only, so
    /// running statistics are of no use; they stay as they started or were loaded.
    Batch,
    /// By running statistics, and not trained, as the trunk's is.
    Frozen,
}

/// Learning rate of `Q`, `K`, `V`, `aggre` and `concat_project`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProjectionGroup {
    /// That of pretrained layers. Released: the grouping goes by a name these layers do not have.
    Pretrained,
    /// That of new layers, which they are.
    FromScratch,
}

/// Mixing of region embeddings.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MixUp {
    /// With a share drawn from `Beta(b, b)`, and a region drawn from the batch. Released, with 8.
    Beta(f64),
    /// None.
    Off,
}

/// What evaluation sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RcaInference {
    /// The fine maps, made of aggregated features. Released.
    Aggregated,
    /// The baseline's maps.
    Baseline,
}
