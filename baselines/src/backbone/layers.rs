//! What the networks here are made of: convolution with and without bias, channel dropout.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_wsss::ops::{self, Conv2dSpec};
use candle_wsss::{Error, Result, Sampler};

/// `sqrt(1 / fan_in)`, normal. With the usual `sqrt(2 / fan_in)` the sums along the residual trunk grow, by a hundred
/// at its end, wherever no batch statistics hold them back.
pub(crate) const CONV_INIT: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity: NonLinearity::Linear };

/// `sqrt(2 / fan_in)`, normal: what comes out is as large as what goes in, when what goes in is rectified.
pub(crate) const RECTIFIED_INIT: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity: NonLinearity::ReLU };

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

/// Convolution, padded so that stride 1 keeps the size.
#[derive(Clone, Debug)]
pub(crate) struct Conv {
    weight: Tensor,
    bias: Option<Tensor>,
    shape: ConvShape,
    padding: usize,
}

impl Conv {
    /// Without bias. The parameter is `weight`, `(output, input, kernel, kernel)`.
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
        let padding = shape.dilation * (shape.kernel / 2);
        Ok(Self { weight: vb.get_with_hints(dims, "weight", init)?, bias: None, shape, padding })
    }

    /// With the parameters `weight` and `bias`, `(output)`; for rectified input, and starting from a bias of 0.
    ///
    /// # Errors
    /// When the builder has one in another shape.
    pub(crate) fn biased(shape: ConvShape, vb: &VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(shape.output, "bias", Init::Const(0.0))?;
        Ok(Self { bias: Some(bias), ..Self::with_init(shape, RECTIFIED_INIT, vb)? })
    }

    /// As [`Self::biased`], with another start of the weight.
    ///
    /// # Errors
    /// When the builder has one in another shape.
    pub(crate) fn biased_with_init(shape: ConvShape, init: Init, vb: &VarBuilder<'_>) -> Result<Self> {
        let bias = vb.get_with_hints(shape.output, "bias", Init::Const(0.0))?;
        Ok(Self { bias: Some(bias), ..Self::with_init(shape, init, vb)? })
    }

    /// The same without a gradient for its parameters. Later changes of them still show.
    pub(crate) fn frozen(self, frozen: bool) -> Self {
        if !frozen {
            return self;
        }
        Self { weight: self.weight.detach(), bias: self.bias.map(|bias| bias.detach()), ..self }
    }

    /// The same without zeros around the input.
    pub(crate) fn unpadded(self) -> Self {
        Self { padding: 0, ..self }
    }

    /// `(N, input, h, w)` to `(N, output, ceil(h / stride), ceil(w / stride))`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, ops::affine, Ok)
    }

    /// The positive part of [`Self::forward`].
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(crate) fn forward_relu(&self, x: &Tensor) -> Result<Tensor> {
        self.run(x, ops::affine_relu, |y| ops::relu(&y))
    }

    /// [`Self::forward`] of `max(x scale + shift, 0)`, and the sum of that and another map. Without bias.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub(crate) fn forward_activated(
        &self,
        x: &Tensor,
        [scale, shift]: &[Tensor; 2],
        added: Option<&Tensor>,
    ) -> Result<Tensor> {
        ops::affine_relu_conv2d(x, [scale, shift], &self.weight, self.spec(), added)
    }

    fn spec(&self) -> Conv2dSpec {
        let ConvShape { stride, dilation, .. } = self.shape;
        Conv2dSpec { stride, padding: self.padding, dilation, groups: 1 }
    }

    fn run(
        &self,
        x: &Tensor,
        add_bias: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor>,
        without_bias: impl Fn(Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let y = ops::conv2d(x, &self.weight, self.spec())?;
        match &self.bias {
            Some(bias) => add_bias(&y, &bias.ones_like()?.detach(), bias),
            None => without_bias(y),
        }
    }
}

/// Zeroes whole channels of images with the given probability and scales the others up. PyTorch: `F.dropout2d`.
///
/// # Errors
/// When a replayed sampler has no fitting draw.
pub(crate) fn dropout2d(x: &Tensor, probability: f64, sampler: &mut dyn Sampler) -> Result<Tensor> {
    let (n, channels, h, w) = x.dims4()?;
    let Some(mask) = dropout_mask(x, probability, sampler)? else { return Ok(x.clone()) };
    // Channels of images are as good as channels of one image.
    let (mask, together) = (mask.flatten_all()?, x.reshape((1, n * channels, h, w))?);
    Ok(ops::affine(&together, &mask, &mask.zeros_like()?)?.reshape((n, channels, h, w))?)
}

/// What dropout multiplies each image's channels with, `(N, C)`; `None` where the probability is 0.
///
/// # Errors
/// When a replayed sampler has no fitting draw.
pub(crate) fn dropout_mask(x: &Tensor, probability: f64, sampler: &mut dyn Sampler) -> Result<Option<Tensor>> {
    if probability == 0.0 {
        return Ok(None);
    }
    let (n, channels, _, _) = x.dims4()?;
    let kept = 1.0 / (1.0 - probability);
    let mask: Vec<f64> =
        sampler.uniform(n * channels)?.into_iter().map(|u| if u < probability { 0.0 } else { kept }).collect();
    Ok(Some(Tensor::from_vec(mask, (n, channels), x.device())?.to_dtype(x.dtype())?))
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

    fn row(t: &Tensor) -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn bias_is_added_to_every_pixel() {
        let vb = ParameterStore::new().var_builder(0, DType::F64, &Device::Cpu);
        let shape = ConvShape { input: 2, output: 3, kernel: 3, stride: 1, dilation: 2 };
        let start = Conv::biased(shape, &vb).unwrap();
        let inputs = [randn(1, &[2, 2, 5, 4]).unwrap(), randn(2, &[3, 2, 3, 3]).unwrap(), randn(3, &[3]).unwrap()];
        let conv = |t: &[Tensor]| Conv { weight: t[1].clone(), bias: Some(t[2].clone()), ..start.clone() };
        let plain = Conv { bias: None, ..conv(&inputs) }.forward(&inputs[0]).unwrap();
        let want = plain.broadcast_add(&inputs[2].reshape((1, 3, 1, 1)).unwrap()).unwrap();
        assert_close("sum", &conv(&inputs).forward(&inputs[0]).unwrap(), &want, 1e-15).unwrap();
        let rectified = conv(&inputs).forward_relu(&inputs[0]).unwrap();
        assert_close("positive part", &rectified, &want.relu().unwrap(), 1e-15).unwrap();
        let error = gradient_error(&inputs, 40, |t| Ok(conv(t).forward(&t[0])?.sqr()?.sum_all()?)).unwrap();
        assert!(error < 1e-7, "{error}");
        let frozen = conv(&inputs).frozen(true).unpadded();
        assert_eq!(frozen.forward(&randn(4, &[1, 2, 5, 6]).unwrap()).unwrap().dims(), [1, 3, 1, 2]);
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
