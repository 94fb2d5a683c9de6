//! [`RcaHeads`]: the embedding of regions, the aggregation over the memory's centroids, the fine maps.

use candle_core::Tensor;
use candle_nn::VarBuilder;

use super::RcaConfig;
use super::layers::{BatchNorm, Convolution, Linear, pointwise};
use super::options::{Attention, EmbeddingNorm, FineHead, ProjectionGroup};
use crate::baseline::{BaselineSpec, ParameterGroup};
use crate::error::{Result, expect_shape};

/// What the centroids of the memory add to the features.
#[derive(Clone, Debug)]
pub struct Aggregated {
    /// `(N, num_foreground * clusters, h, w)`: weight of each centroid, class by class.
    pub similarity: Tensor,
    /// `(N, feature_dim, h, w)`: what the centroids say of each pixel.
    pub context: Tensor,
    /// `(N, feature_dim, h, w)`: features with that context.
    pub features: Tensor,
}

/// The layers, under the names of the released code.
///
/// * `extra_F.{0,1,3}`: 3x3 convolution, batch norm, `relu`, 3x3 convolution: the embedding map.
/// * `Q`, `aggre`, `concat_project`: 1x1 convolutions; `K`, `V`: linear: the aggregation.
/// * `extra_convs{i}.{0,2,4,6}` for class `i`, or `extra_convs.{0,2,4,6}` shared by all: 3x3 convolutions with `relu`, then
///   a 1x1 one: the fine maps.
#[derive(Clone, Debug)]
pub struct RcaHeads {
    feature_dim: usize,
    projection_group: ProjectionGroup,
    hidden: Convolution,
    norm: BatchNorm,
    embedding_norm: EmbeddingNorm,
    embedding: Convolution,
    query: Convolution,
    key: Linear,
    value: Linear,
    context: Convolution,
    project: Convolution,
    /// One for each class, or one for all.
    fine: Vec<Vec<Convolution>>,
}

impl RcaHeads {
    /// New layers for a baseline, or those the builder has.
    ///
    /// # Errors
    /// When the configuration does not fit the baseline, or the builder has a parameter of another shape.
    pub fn new(spec: &BaselineSpec, config: &RcaConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let features = spec.feature_dim;
        let (embedding, memory) = (config.embedding_dim_on(spec)?, config.memory_dim_on(spec)?);
        let convolution = |name: &str, input, output, kernel| Convolution::new(input, output, kernel, &vb.pp(name));
        let (classes, hidden) = (spec.layout.num_foreground(), config.head.hidden().unwrap_or(features));
        let stack =
            |name: String, outputs: usize| fine_stack(features, hidden, config.head.layers(), outputs, &vb.pp(name));
        let fine = match config.head {
            FineHead::PerClass { .. } => {
                (0..classes).map(|class| stack(format!("extra_convs{class}"), 1)).collect::<Result<_>>()?
            }
            FineHead::Shared { .. } => vec![stack("extra_convs".to_string(), classes)?],
        };
        Ok(Self {
            feature_dim: features,
            projection_group: config.projection_group,
            embedding_norm: config.embedding_norm,
            hidden: convolution("extra_F.0", features, embedding, 3)?,
            norm: BatchNorm::new(embedding, config.embedding_norm == EmbeddingNorm::Batch, &vb.pp("extra_F.1"))?,
            embedding: convolution("extra_F.3", embedding, embedding, 3)?,
            query: convolution("Q", features, features, 1)?,
            key: Linear::new(memory, features, &vb.pp("K"))?,
            value: Linear::new(memory, features, &vb.pp("V"))?,
            context: convolution("aggre", features, features, 1)?,
            project: convolution("concat_project", 2 * features, features, 1)?,
            fine,
        })
    }

    /// The embedding map of regions, normalised by running statistics: `(N, feature_dim, h, w)` to
    /// `(N, embedding_dim, h, w)`.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn embed(&self, features: &Tensor) -> Result<Tensor> {
        self.check(features)?;
        self.embedding.forward(&self.norm.then_relu(&self.hidden.forward(features)?)?)
    }

    /// [`Self::embed`] as training has it: with [`EmbeddingNorm::Batch`], normalised by the batch.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn embed_in_training(&self, features: &Tensor) -> Result<Tensor> {
        if self.embedding_norm == EmbeddingNorm::Frozen {
            return self.embed(features);
        }
        self.check(features)?;
        self.embedding.forward(&self.norm.then_relu_of_batch(&self.hidden.forward(features)?)?)
    }

    /// `context = aggre(Σ_r a_r V(M_r))`, `features = concat_project(cat(x, context))`, where `a` comes from the products
    /// `Q(x)·K(M_r)` as `attention` says. No gradient reaches the centroids `M`.
    ///
    /// # Shapes
    /// `features (N, feature_dim, h, w)`, `centroids (num_foreground, clusters, D)`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn aggregate(&self, features: &Tensor, centroids: &Tensor, attention: Attention) -> Result<Aggregated> {
        self.check(features)?;
        let (classes, clusters, dim) = centroids.dims3()?;
        let rows = centroids.detach().reshape((classes * clusters, dim))?;
        // Products over channels and over centroids are 1x1 convolutions whose weights are the keys and the values.
        let products = pointwise(&self.query.forward(features)?, &self.key.forward(&rows)?)?;
        let similarity = match attention {
            Attention::ScaledProduct => (products * (classes as f64 / clusters as f64))?,
            Attention::SoftMax => candle_nn::ops::softmax(&(products / (self.feature_dim as f64).sqrt())?, 1)?,
        };
        let context = self.context.forward(&pointwise(&similarity, &self.value.forward(&rows)?.t()?)?)?;
        let features = self.project.forward(&Tensor::cat(&[features, &context], 1)?)?;
        Ok(Aggregated { similarity, context, features })
    }

    /// Fine maps: `(N, feature_dim, h, w)` to `(N, num_foreground, h, w)`.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn fine(&self, aggregated: &Tensor) -> Result<Tensor> {
        self.check(aggregated)?;
        let maps = self.fine.iter().map(|stack| {
            let mut x = aggregated.clone();
            for (at, layer) in stack.iter().enumerate() {
                x = if at + 1 < stack.len() { layer.then_relu(&x)? } else { layer.forward(&x)? };
            }
            Ok(x)
        });
        Ok(Tensor::cat(&maps.collect::<Result<Vec<_>>>()?, 1)?)
    }

    /// How a parameter is trained, by its name below the heads.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        let is_statistic = name.ends_with(".running_mean") || name.ends_with(".running_var");
        if is_statistic || (name.starts_with("extra_F.1.") && self.embedding_norm == EmbeddingNorm::Frozen) {
            return ParameterGroup::Frozen;
        }
        match self.projection_group {
            ProjectionGroup::Pretrained if !name.starts_with("extra_") => ParameterGroup::Pretrained,
            ProjectionGroup::Pretrained | ProjectionGroup::FromScratch => ParameterGroup::FromScratch,
        }
    }

    fn check(&self, features: &Tensor) -> Result<()> {
        expect_shape("features", features, ["N".into(), self.feature_dim.into(), "h".into(), "w".into()])
    }
}

// Names count the ReLUs in between: 0, 2, 4, 6.
fn fine_stack(
    features: usize,
    hidden: usize,
    layers: usize,
    outputs: usize,
    vb: &VarBuilder<'_>,
) -> Result<Vec<Convolution>> {
    let mut stack = Vec::with_capacity(layers + 1);
    let mut input = features;
    for layer in 0..layers {
        stack.push(Convolution::new(input, hidden, 3, &vb.pp(2 * layer))?);
        input = hidden;
    }
    stack.push(Convolution::new(input, outputs, 1, &vb.pp(2 * layers))?);
    Ok(stack)
}
