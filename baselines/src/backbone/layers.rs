//! What the networks here are made of: convolution without bias, batch normalisation with rectification, channel dropout.

use candle_core::{Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_wsss::{Error, Result, Sampler, ops};

use super::resnet38d::{BatchNormMode, ResNet38dConfig};

/// `sqrt(1 / fan_in)`, normal. With the usual `sqrt(2 / fan_in)` the sums along the residual trunk grow, by a hundred
/// at its end, wherever no batch statistics hold them back.
const CONV_INIT: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity: NonLinearity::Linear };

/// Channels and geometry of a square convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    /// Channels in.
    pub(crate) input: usize,
    /// Channels out.
    pub(crate) output: usize,
    /// Side of the kernel, odd.
    pub(crate) kernel: usize,
    /// Step between outputs.
    pub(crate) stride: usize,
    /// Step between the taps of the kernel.
    pub(crate) dilation: usize,
}

impl ConvShape {
    /// One tap, every pixel.
    pub(crate) const fn pointwise(input: usize, output: usize) -> Self {
        Self { input, output, kernel: 1, stride: 1, dilation: 1 }
    }
}

/// Convolution without bias, padded so that stride 1 keeps the size.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    shape: ConvShape,
}

impl Conv {
    /// The parameter is `weight`, `(output, input, kernel, kernel)`.
    ///
    /// # Errors
    /// When the builder has it in another shape.
    pub(crate) fn new(shape: ConvShape, vb: &VarBuilder<'_>) -> Result<Self> {
        Self::with_init(shape, CONV_INIT, vb)
    }

    /// As [`Self::new`], with a start of its own.
    ///
    /// # Errors
    /// When the builder has it in another shape.
    pub(crate) fn with_init(shape: ConvShape, init: Init, vb: &VarBuilder<'_>) -> Result<Self> {
        let dims = (shape.output, shape.input, shape.kernel, shape.kernel);
        Ok(Self { weight: vb.get_with_hints(dims, "weight", init)?, shape })
    }

    /// The same without a gradient for the weight. Later changes of the parameter still show.
    pub(crate) fn frozen(self, frozen: bool) -> Self {
        if frozen { Self { weight: self.weight.detach(), ..self } } else { self }
    }

    /// `(N, input, h, w)` to `(N, output, ceil(h / stride), ceil(w / stride))`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let ConvShape { kernel, stride, dilation, .. } = self.shape;
        conv2d(x, &self.weight, stride, dilation * (kernel / 2), dilation)
    }
}

fn conv2d(x: &Tensor, weight: &Tensor, stride: usize, padding: usize, dilation: usize) -> Result<Tensor> {
    Ok(x.conv2d(weight, padding, stride, dilation, 1)?)
}

fn affine_relu(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Result<Tensor> {
    let per_channel = |t: &Tensor| t.reshape((1, (), 1, 1));
    ops::relu(&x.broadcast_mul(&per_channel(scale)?)?.broadcast_add(&per_channel(shift)?)?)
}

/// Batch normalisation followed by rectification.
///
/// Normalising is a scale and a shift per channel, whether the statistics are the stored ones or the batch's, so both
/// modes share one fused operation.
#[derive(Clone, Debug)]
pub(crate) struct BatchNormRelu {
    weight: Tensor,
    bias: Tensor,
    running_mean: Var,
    running_var: Var,
    mode: BatchNormMode,
    epsilon: f64,
    momentum: f64,
}

impl BatchNormRelu {
    /// The parameters are `weight`, `bias`, `running_mean` and `running_var`, one value per channel each.
    ///
    /// # Errors
    /// When the builder has one in another shape.
    pub(crate) fn new(channels: usize, config: &ResNet38dConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let get = |name: &str, start: f64| vb.get_with_hints(channels, name, Init::Const(start));
        let trainable = |t: Tensor| match config.batch_norm {
            BatchNormMode::Frozen => t.detach(),
            BatchNormMode::Train => t,
        };
        Ok(Self {
            weight: trainable(get("weight", 1.0)?),
            bias: trainable(get("bias", 0.0)?),
            // Shares the storage where the builder hands out variables, so updates reach the checkpoint.
            running_mean: Var::from_tensor(&get("running_mean", 0.0)?)?,
            running_var: Var::from_tensor(&get("running_var", 1.0)?)?,
            mode: config.batch_norm,
            epsilon: config.batch_norm_epsilon,
            momentum: config.batch_norm_momentum,
        })
    }

    /// `relu(weight * (x - mean) / sqrt(var + epsilon) + bias)` over `(N, channels, h, w)`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(crate) fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let (mean, var) = if training && self.mode == BatchNormMode::Train {
            self.batch_statistics(x)?
        } else {
            (self.running_mean.as_detached_tensor(), self.running_var.as_detached_tensor())
        };
        let scale = (&self.weight / (var + self.epsilon)?.sqrt()?)?;
        let shift = (&self.bias - (mean * &scale)?)?;
        affine_relu(x, &scale, &shift)
    }

    // Mean and biased variance per channel, with their graph; moves the running ones, the variance unbiased.
    fn batch_statistics(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        let (n, channels, h, w) = x.dims4()?;
        // Innermost axis first: candle reduces it without a copy.
        let per_channel = |t: &Tensor| t.flatten(2, 3)?.mean(2)?.mean(0);
        let mean = per_channel(x)?;
        let var = per_channel(&x.broadcast_sub(&mean.reshape((1, channels, 1, 1))?)?.sqr()?)?;
        let count = (n * h * w) as f64;
        let unbiased = count / (count - 1.0).max(1.0);
        self.move_running(&self.running_mean, &mean, 1.0)?;
        self.move_running(&self.running_var, &var, unbiased)?;
        Ok((mean, var))
    }

    fn move_running(&self, running: &Var, fresh: &Tensor, factor: f64) -> Result<()> {
        let old = (running.as_detached_tensor() * (1.0 - self.momentum))?;
        let fresh = (fresh.detach() * (factor * self.momentum))?;
        Ok(running.set(&(old + fresh)?)?)
    }
}

/// Zeroes whole channels of images with the given probability and scales the others up. PyTorch: `F.dropout2d`.
///
/// # Errors
/// When a replayed sampler has no fitting draw.
pub(crate) fn dropout2d(x: &Tensor, probability: f64, sampler: &mut dyn Sampler) -> Result<Tensor> {
    if probability == 0.0 {
        return Ok(x.clone());
    }
    let (n, channels, _, _) = x.dims4()?;
    let kept = 1.0 / (1.0 - probability);
    let mask: Vec<f64> =
        sampler.uniform(n * channels)?.into_iter().map(|u| if u < probability { 0.0 } else { kept }).collect();
    let mask = Tensor::from_vec(mask, (n, channels, 1, 1), x.device())?.to_dtype(x.dtype())?;
    Ok(x.broadcast_mul(&mask)?)
}

/// A probability that leaves something: `[0, 1)`.
///
/// # Errors
/// Naming the field.
pub(crate) fn check_dropout(field: &str, probability: f64) -> Result<()> {
    if (0.0..1.0).contains(&probability) {
        return Ok(());
    }
    Err(Error::config(field, format!("must be at least 0 and below 1, is {probability}")))
}
