//! [`MapHead`]: class maps by convolutions alone, no classifier behind a mean.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use candle_wsss::Result;

use super::config::{HeadConfig, HeadInit};
use crate::backbone::{Conv, ConvShape};

/// `extra_convs` in the released code, whose indices count the rectifications between the convolutions as well.
#[derive(Clone, Debug)]
pub(super) struct MapHead {
    hidden: Vec<Conv>,
    classifier: Conv,
}

impl MapHead {
    /// Maps of `classes` classes out of `channels` channels.
    ///
    /// # Errors
    /// When a parameter has another shape.
    pub(super) fn new(config: &HeadConfig, channels: usize, classes: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let conv = |shape: ConvShape, layer: usize| match config.init {
            HeadInit::Normal(stdev) => {
                Conv::biased_with_init(shape, Init::Randn { mean: 0.0, stdev }, &vb.pp(2 * layer))
            }
            HeadInit::Kaiming => Conv::biased(shape, &vb.pp(2 * layer)),
        };
        let width = config.hidden.unwrap_or(channels);
        let input = |layer: usize| if layer == 0 { channels } else { width };
        let hidden = (0..config.layers)
            .map(|layer| {
                let shape = ConvShape { kernel: HIDDEN_KERNEL, ..ConvShape::pointwise(input(layer), width) };
                conv(shape, layer)
            })
            .collect::<Result<_>>()?;
        let classifier = conv(ConvShape::pointwise(input(config.layers), classes), config.layers)?;
        Ok(Self { hidden, classifier })
    }

    /// `(N, channels, h, w)` to `(N, classes, h, w)`.
    ///
    /// # Errors
    /// When the channels do not fit.
    pub(super) fn forward(&self, features: &Tensor) -> Result<Tensor> {
        let hidden = self.hidden.iter().try_fold(features.clone(), |x, conv| conv.forward_relu(&x))?;
        self.classifier.forward(&hidden)
    }
}

const HIDDEN_KERNEL: usize = 3;
