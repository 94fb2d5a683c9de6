//! The layers that the heads are made of.

use candle_core::Tensor;
use candle_nn::{Init, VarBuilder};

use crate::error::{Result, expect_shape};
use crate::init::CONV_DEFAULT;
use crate::ops::{Conv2dSpec, affine, affine_relu, conv2d};

const BATCH_NORM_EPSILON: f64 = 1e-5;

fn bias(dim: usize, fan_in: usize, vb: &VarBuilder<'_>) -> Result<Tensor> {
    let up = 1.0 / (fan_in as f64).sqrt();
    Ok(vb.get_with_hints(dim, "bias", Init::Uniform { lo: -up, up })?)
}

/// A matrix `(outputs, inputs)` applied to every pixel of a map.
pub(super) fn pointwise(x: &Tensor, matrix: &Tensor) -> Result<Tensor> {
    conv2d(x, &matrix.contiguous()?.unsqueeze(2)?.unsqueeze(3)?, Conv2dSpec::default())
}

/// A convolution with bias that keeps the size of the map.
#[derive(Clone, Debug)]
pub(super) struct Convolution {
    weight: Tensor,
    bias: Tensor,
}

impl Convolution {
    /// From `weight` and `bias` of the builder; `kernel` is odd.
    pub(super) fn new(input: usize, output: usize, kernel: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints((output, input, kernel, kernel), "weight", CONV_DEFAULT)?,
            bias: bias(output, input * kernel * kernel, vb)?,
        })
    }

    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        affine(&self.without_bias(x)?, &self.ones()?, &self.bias)
    }

    pub(super) fn then_relu(&self, x: &Tensor) -> Result<Tensor> {
        affine_relu(&self.without_bias(x)?, &self.ones()?, &self.bias)
    }

    fn without_bias(&self, x: &Tensor) -> Result<Tensor> {
        let padding = self.weight.dim(2)? / 2;
        conv2d(x, &self.weight, Conv2dSpec { padding, ..Conv2dSpec::default() })
    }

    // The scale of a layer that only shifts; it gets no gradient.
    fn ones(&self) -> Result<Tensor> {
        Ok(Tensor::ones(self.bias.shape(), self.bias.dtype(), self.bias.device())?)
    }
}

/// `x Wᵀ + b` of rows.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    pub(super) fn new(input: usize, output: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self { weight: vb.get_with_hints((output, input), "weight", CONV_DEFAULT)?, bias: bias(output, input, vb)? })
    }

    /// `(rows, input)` to `(rows, output)`.
    pub(super) fn forward(&self, rows: &Tensor) -> Result<Tensor> {
        expect_shape("rows of a linear layer", rows, ["rows".into(), self.weight.dim(1)?.into()])?;
        Ok(rows.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?)
    }
}

/// `weight (x - running_mean) / √(running_var + ε) + bias` per channel, none of it trained.
#[derive(Clone, Debug)]
pub(super) struct FrozenBatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl FrozenBatchNorm {
    pub(super) fn new(dim: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let constant = |name: &str, value: f64| vb.get_with_hints(dim, name, Init::Const(value));
        Ok(Self {
            weight: constant("weight", 1.0)?,
            bias: constant("bias", 0.0)?,
            running_mean: constant("running_mean", 0.0)?,
            running_var: constant("running_var", 1.0)?,
        })
    }

    pub(super) fn then_relu(&self, x: &Tensor) -> Result<Tensor> {
        // Folded at every call, not in `new`: loading weights sets the variables later.
        let deviation = (self.running_var.detach() + BATCH_NORM_EPSILON)?.sqrt()?;
        let scale = (self.weight.detach() / deviation)?;
        let shift = (self.bias.detach() - (self.running_mean.detach() * &scale)?)?;
        affine_relu(x, &scale, &shift)
    }
}
