//! What the networks here are made of: convolution without bias, batch normalisation with rectification, channel dropout.

use candle_core::{Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_wsss::ops::{self, Conv2dSpec};
use candle_wsss::{Error, Result, Sampler};

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
        let padding = dilation * (kernel / 2);
        ops::conv2d(x, &self.weight, Conv2dSpec { stride, padding, dilation, groups: 1 })
    }
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
        ops::affine_relu(x, &scale, &shift)
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use candle_wsss::ParameterStore;
    use candle_wsss::testing::{assert_close, gradient_error, randn};

    use super::*;

    const CHANNELS: usize = 3;

    fn layer(mode: BatchNormMode, weight: &Tensor, bias: &Tensor) -> BatchNormRelu {
        let vb = ParameterStore::new().var_builder(0, DType::F64, &Device::Cpu);
        let config = ResNet38dConfig { batch_norm: mode, batch_norm_momentum: 0.25, ..ResNet38dConfig::default() };
        let start = BatchNormRelu::new(CHANNELS, &config, &vb).unwrap();
        start.running_mean.set(&randn(8, &[CHANNELS]).unwrap()).unwrap();
        start.running_var.set(&(randn(9, &[CHANNELS]).unwrap().sqr().unwrap() + 0.5).unwrap()).unwrap();
        BatchNormRelu { weight: weight.clone(), bias: bias.clone(), ..start }
    }

    fn inputs() -> [Tensor; 3] {
        [randn(1, &[2, CHANNELS, 3, 2]).unwrap(), randn(2, &[CHANNELS]).unwrap(), randn(3, &[CHANNELS]).unwrap()]
    }

    fn row(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    // Mean, biased and unbiased variance of a channel, by definition.
    fn moments(x: &Tensor, channel: usize) -> (f64, f64, f64) {
        let all = row(&x.narrow(1, channel, 1).unwrap());
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let squares = all.iter().map(|v| (v - mean).powi(2)).sum::<f64>();
        (mean, squares / all.len() as f64, squares / (all.len() - 1) as f64)
    }

    fn expected(x: &Tensor, layer: &BatchNormRelu, statistics: impl Fn(usize) -> (f64, f64)) -> Tensor {
        let (weight, bias) = (row(&layer.weight), row(&layer.bias));
        let maps: Vec<Tensor> = (0..CHANNELS)
            .map(|c| {
                let (mean, var) = statistics(c);
                let scale = weight[c] / (var + 1e-5).sqrt();
                x.narrow(1, c, 1).unwrap().affine(scale, bias[c] - mean * scale).unwrap().relu().unwrap()
            })
            .collect();
        Tensor::cat(&maps, 1).unwrap()
    }

    #[test]
    fn stored_statistics_unless_training_on_the_batch() {
        let [x, weight, bias] = inputs();
        for (mode, training) in
            [(BatchNormMode::Frozen, false), (BatchNormMode::Frozen, true), (BatchNormMode::Train, false)]
        {
            let layer = layer(mode, &weight, &bias);
            let (mean, var) = (row(&layer.running_mean), row(&layer.running_var));
            let want = expected(&x, &layer, |c| (mean[c], var[c]));
            assert_close("stored", &layer.forward(&x, training).unwrap(), &want, 1e-14).unwrap();
            assert_eq!((mean, var), (row(&layer.running_mean), row(&layer.running_var)));
        }
    }

    #[test]
    fn batch_statistics_normalise_and_move_the_running_ones() {
        let [x, weight, bias] = inputs();
        let layer = layer(BatchNormMode::Train, &weight, &bias);
        let (mean, var) = (row(&layer.running_mean), row(&layer.running_var));
        let got = layer.forward(&x, true).unwrap();
        let want = expected(&x, &layer, |c| (moments(&x, c).0, moments(&x, c).1));
        assert_close("batch", &got, &want, 1e-14).unwrap();
        for c in 0..CHANNELS {
            let (fresh, _, unbiased) = moments(&x, c);
            let near = |got: f64, want: f64| assert!((got - want).abs() < 1e-14, "{got} against {want}");
            near(row(&layer.running_mean)[c], 0.75 * mean[c] + 0.25 * fresh);
            near(row(&layer.running_var)[c], 0.75 * var[c] + 0.25 * unbiased);
        }
    }

    #[test]
    fn gradients_pass_through_the_statistics() {
        let cotangent = randn(4, &[2, CHANNELS, 3, 2]).unwrap();
        for mode in [BatchNormMode::Frozen, BatchNormMode::Train] {
            let error = gradient_error(&inputs(), 20, |x| {
                Ok((layer(mode, &x[1], &x[2]).forward(&x[0], true)? * &cotangent)?.sum_all()?)
            });
            let error = error.unwrap();
            assert!(error < 1e-6, "{mode:?}: {error}");
        }
    }

    #[test]
    fn dropout_keeps_the_mean() {
        let x = Tensor::ones((4, 500, 1, 2), DType::F64, &Device::Cpu).unwrap();
        let mut sampler = candle_wsss::SeededSampler::new(0);
        let mean = dropout2d(&x, 0.3, &mut sampler).unwrap().mean_all().unwrap().to_scalar::<f64>().unwrap();
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert_close("none dropped", &dropout2d(&x, 0.0, &mut sampler).unwrap(), &x, 0.0).unwrap();
        let one_left = candle_wsss::ReplaySampler::new().record_numbers("", vec![0.29, 0.3]);
        let x = Tensor::ones((1, 2, 1, 1), DType::F64, &Device::Cpu).unwrap();
        let got = row(&dropout2d(&x, 0.3, &mut one_left.clone()).unwrap());
        assert_eq!(got, [0.0, 1.0 / 0.7]);
        assert!(check_dropout("p", 1.0).is_err());
    }
}
