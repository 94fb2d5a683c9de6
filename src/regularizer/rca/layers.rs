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

/// `weight (x - mean) / √(var + ε) + bias` per channel.
#[derive(Clone, Debug)]
pub(super) struct BatchNorm {
    weight: Tensor,
    bias: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
}

impl BatchNorm {
    /// From `weight`, `bias`, `running_mean` and `running_var` of the builder, the former two trained or not.
    pub(super) fn new(dim: usize, is_trained: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let constant = |name: &str, value: f64| vb.get_with_hints(dim, name, Init::Const(value));
        let learnt = |tensor: Tensor| if is_trained { tensor } else { tensor.detach() };
        Ok(Self {
            weight: learnt(constant("weight", 1.0)?),
            bias: learnt(constant("bias", 0.0)?),
            running_mean: constant("running_mean", 0.0)?.detach(),
            running_var: constant("running_var", 1.0)?.detach(),
        })
    }

    /// By the running statistics, then `relu`.
    pub(super) fn then_relu(&self, x: &Tensor) -> Result<Tensor> {
        self.by(x, &self.running_mean, &self.running_var)
    }

    /// By the mean and the biased variance of the batch, then `relu`; the gradient flows through both.
    pub(super) fn then_relu_of_batch(&self, x: &Tensor) -> Result<Tensor> {
        let per_channel = |map: &Tensor| map.flatten(2, 3)?.mean(2)?.mean(0);
        let mean = per_channel(x)?;
        let var = per_channel(&x.broadcast_sub(&mean.reshape((1, (), 1, 1))?)?.sqr()?)?;
        self.by(x, &mean, &var)
    }

    // Folded at every call, not in `new`: loading weights sets the variables later.
    fn by(&self, x: &Tensor, mean: &Tensor, var: &Tensor) -> Result<Tensor> {
        let scale = (&self.weight / (var + BATCH_NORM_EPSILON)?.sqrt()?)?;
        let shift = (&self.bias - (mean * &scale)?)?;
        affine_relu(x, &scale, &shift)
    }
}
