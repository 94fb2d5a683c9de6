//! [`MapHead`]: class maps by convolutions alone, no classifier behind a mean.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_wsss::Result;
use candle_wsss::ops::{self, Conv2dSpec};

use super::config::{HeadConfig, HeadInit};

/// `extra_convs` in the released code, whose indices count the rectifications between the convolutions as well.
#[derive(Clone, Debug)]
pub(super) struct MapHead {
    hidden: Vec<BiasedConv>,
    classifier: BiasedConv,
}

impl MapHead {
    /// Maps of `classes` classes out of `channels` channels.
    ///
    /// # Errors
    /// When a parameter has another shape.
    pub(super) fn new(config: &HeadConfig, channels: usize, classes: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let init = match config.init {
            HeadInit::Normal(stdev) => Init::Randn { mean: 0.0, stdev },
            HeadInit::Kaiming => KAIMING,
        };
        let width = config.hidden.unwrap_or(channels);
        let input = |layer: usize| if layer == 0 { channels } else { width };
        let hidden = (0..config.layers)
            .map(|layer| BiasedConv::new([width, input(layer)], HIDDEN_KERNEL, init, &vb.pp(2 * layer)))
            .collect::<Result<_>>()?;
        let classifier = BiasedConv::new([classes, input(config.layers)], 1, init, &vb.pp(2 * config.layers))?;
        Ok(Self { hidden, classifier })
    }

    /// `(N, channels, h, w)` to `(N, classes, h, w)`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(super) fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let hidden = self.hidden.iter().try_fold(features.clone(), |x, conv| ops::relu(&conv.forward(&x)?))?;
        self.classifier.forward(&hidden)
    }
}

const HIDDEN_KERNEL: usize = 3;

const KAIMING: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity: NonLinearity::ReLU };

/// Convolution with bias, padded so that the size stays.
#[derive(Clone, Debug)]
struct BiasedConv {
    weight: Tensor,
    bias: Tensor,
    spec: Conv2dSpec,
}

impl BiasedConv {
    fn new([output, input]: [usize; 2], kernel: usize, init: Init, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(Self {
            weight: vb.get_with_hints((output, input, kernel, kernel), "weight", init)?,
            bias: vb.get_with_hints(output, "bias", Init::Const(0.0))?,
            spec: Conv2dSpec { padding: kernel / 2, ..Conv2dSpec::default() },
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        Ok(ops::conv2d(x, &self.weight, self.spec)?.broadcast_add(&self.bias.reshape((1, (), 1, 1))?)?)
    }
}
