//! [`HscHeads`]: two projections of the trunk's features.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use super::{HeadGroup, HscConfig};
use crate::baseline::ParameterGroup;
use crate::error::{Result, expect_shape};
use crate::init::CONV_DEFAULT;
use crate::ops::{Conv2dSpec, Corners, affine_relu, conv2d, relu, resize_bilinear};

const BATCH_NORM_EPSILON: f64 = 1e-5;

/// The maps of one view that the levels compare.
#[derive(Clone, Debug)]
pub struct HscMaps {
    /// `(N, pixel_dim, h, w)`, not negative: the pixel level.
    pub pixel: Tensor,
    /// `(N, region_dim, h, w)`: the region and the class level.
    pub region: Tensor,
}

impl HscMaps {
    /// Both maps at another size (bilinear, aligned corners); as they are if they have it.
    ///
    /// # Errors
    /// When a size is 0.
    pub fn resized(&self, size: (usize, usize)) -> Result<Self> {
        Ok(Self { pixel: resized(&self.pixel, size)?, region: resized(&self.region, size)? })
    }
}

/// Resizes a map unless it has the size already.
pub(super) fn resized(map: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = map.dims4()?;
    if (h, w) == size { Ok(map.clone()) } else { resize_bilinear(map, size, Corners::Aligned) }
}

/// The projections, under the names of the released code.
///
/// `pixel = relu(proj_fc(x))`; `region = extra_F.3(relu(extra_F.1(extra_F.0(x))))`, where `proj_fc` and `extra_F.3` are
/// 1x1 convolutions, `extra_F.0` is a 3x3 one, and `extra_F.1` is a batch norm that is never trained: running mean 0
/// and variance 1 unless weights are loaded.
#[derive(Clone, Debug)]
pub struct HscHeads {
    feature_dim: usize,
    head_group: HeadGroup,
    pixel_weight: Tensor,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    norm: FrozenBatchNorm,
    region_weight: Tensor,
    region_bias: Tensor,
}

impl HscHeads {
    /// New projections of `feature_dim` channels, or those the builder has.
    ///
    /// # Errors
    /// When the builder has a parameter of another shape.
    pub fn new(feature_dim: usize, config: &HscConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let (pixel, region) = (config.pixel_dim, config.region_dim);
        let conv = |name: &str, dims: (usize, usize, usize, usize)| vb.get_with_hints(dims, name, CONV_DEFAULT);
        let bias = |name: &str, dim: usize, fan_in: usize| {
            let up = 1.0 / (fan_in as f64).sqrt();
            vb.get_with_hints(dim, name, Init::Uniform { lo: -up, up })
        };
        Ok(Self {
            feature_dim,
            head_group: config.head_group,
            pixel_weight: conv("proj_fc.weight", (pixel, feature_dim, 1, 1))?,
            hidden_weight: conv("extra_F.0.weight", (region, feature_dim, 3, 3))?,
            hidden_bias: bias("extra_F.0.bias", region, feature_dim * 9)?,
            norm: FrozenBatchNorm::new(region, &vb.pp("extra_F.1"))?,
            region_weight: conv("extra_F.3.weight", (region, region, 1, 1))?,
            region_bias: bias("extra_F.3.bias", region, region)?,
        })
    }

    /// Projects the trunk's features, `(N, feature_dim, h, w)`.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn forward(&self, features: &Tensor) -> Result<HscMaps> {
        expect_shape("features", features, ["N".into(), self.feature_dim.into(), "h".into(), "w".into()])?;
        let (plain, padded) = (Conv2dSpec::default(), Conv2dSpec { padding: 1, ..Conv2dSpec::default() });
        let pixel = relu(&conv2d(features, &self.pixel_weight, plain)?)?;
        let hidden = conv2d(features, &self.hidden_weight, padded)?.broadcast_add(&per_channel(&self.hidden_bias)?)?;
        let region = conv2d(&self.norm.then_relu(&hidden)?, &self.region_weight, plain)?;
        Ok(HscMaps { pixel, region: region.broadcast_add(&per_channel(&self.region_bias)?)? })
    }

    /// How a parameter is trained, by its name below the heads.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        if name.starts_with("extra_F.1.") {
            return ParameterGroup::Frozen;
        }
        match self.head_group {
            HeadGroup::Pretrained if name.starts_with("extra_F.") => ParameterGroup::Pretrained,
            HeadGroup::Pretrained | HeadGroup::FromScratch => ParameterGroup::FromScratch,
        }
    }
}

/// `weight (x - running_mean) / √(running_var + ε) + bias` per channel, none of it trained.
#[derive(Clone, Debug)]
struct FrozenBatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl FrozenBatchNorm {
    fn new(dim: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let constant = |name: &str, value: f64| vb.get_with_hints(dim, name, Init::Const(value));
        Ok(Self {
            weight: constant("weight", 1.0)?,
            bias: constant("bias", 0.0)?,
            running_mean: constant("running_mean", 0.0)?,
            running_var: constant("running_var", 1.0)?,
        })
    }

    fn then_relu(&self, x: &Tensor) -> Result<Tensor> {
        // Folded at every call, not in `new`: loading weights sets the variables later.
        let deviation = (self.running_var.detach() + BATCH_NORM_EPSILON)?.sqrt()?;
        let scale = (self.weight.detach() / deviation)?;
        let shift = (self.bias.detach() - (self.running_mean.detach() * &scale)?)?;
        affine_relu(x, &scale, &shift)
    }
}

fn per_channel(values: &Tensor) -> Result<Tensor> {
    Ok(values.reshape((1, (), 1, 1))?)
}
