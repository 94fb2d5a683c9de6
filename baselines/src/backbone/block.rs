//! Pre-activation residual blocks: the sum along the trunk is never normalised, only what branches off it.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::{Error, Result, Sampler};

use super::batch_norm::{Activation, BatchNorm};
use super::layers::{Conv, ConvShape, dropout_mask};
use super::resnet38d::ResNet38dConfig;

/// What a block makes of its input.
pub(crate) struct BlockOutput {
    /// Normalised, rectified input of the block: what SEAM taps. Not there where only one convolution sees it.
    pub(crate) activated: Option<Tensor>,
    /// Output of the block.
    pub(crate) sum: Tensor,
}

/// Channels and geometry of a [`BasicBlock`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct BasicShape {
    pub(crate) input: usize,
    pub(crate) middle: usize,
    pub(crate) output: usize,
    pub(crate) stride: usize,
    /// Dilation of the first convolution.
    pub(crate) first_dilation: usize,
    /// Dilation of the second convolution.
    pub(crate) dilation: usize,
}

/// Two 3x3 convolutions.
#[derive(Clone, Debug)]
pub(crate) struct BasicBlock {
    bn_branch2a: BatchNorm,
    conv_branch2a: Conv,
    bn_branch2b1: BatchNorm,
    conv_branch2b1: Conv,
    conv_branch1: Option<Conv>,
}

impl BasicBlock {
    /// Frozen blocks have no gradient for their convolutions.
    ///
    /// # Errors
    /// When the builder has a parameter in another shape.
    pub(crate) fn new(shape: BasicShape, frozen: bool, config: &ResNet38dConfig, vb: &VarBuilder<'_>) -> Result<Self> {
        let BasicShape { input, middle, output, stride, first_dilation, dilation } = shape;
        let conv = |shape: ConvShape, name: &str| Ok::<_, Error>(Conv::new(shape, &vb.pp(name))?.frozen(frozen));
        let batch_norm =
            |channels, vb: &_| BatchNorm::new(channels, config.batch_norm_settings(), Activation::Relu, vb);
        let first = ConvShape { input, output: middle, kernel: 3, stride, dilation: first_dilation };
        let second = ConvShape { input: middle, output, kernel: 3, stride: 1, dilation };
        let shortcut = ConvShape { input, output, kernel: 1, stride, dilation: 1 };
        let same_shape = input == output && stride == 1;
        Ok(Self {
            bn_branch2a: batch_norm(input, &vb.pp("bn_branch2a"))?,
            conv_branch2a: conv(first, "conv_branch2a")?,
            bn_branch2b1: batch_norm(middle, &vb.pp("bn_branch2b1"))?,
            conv_branch2b1: conv(second, "conv_branch2b1")?,
            conv_branch1: if same_shape { None } else { Some(conv(shortcut, "conv_branch1")?) },
        })
    }

    /// # Errors
    /// When the channels do not fit.
    pub(crate) fn forward(&self, x: &Tensor, training: bool) -> Result<BlockOutput> {
        let (activated, branch) = match &self.conv_branch1 {
            Some(_) => {
                let activated = self.bn_branch2a.forward(x, training)?;
                let branch = self.conv_branch2a.forward(&activated)?;
                (Some(activated), branch)
            }
            None => {
                let normalisation = self.bn_branch2a.scale_and_shift(x, training)?;
                (None, self.conv_branch2a.forward_activated(x, &normalisation, None)?)
            }
        };
        let shortcut = match (&self.conv_branch1, &activated) {
            (Some(conv), Some(activated)) => conv.forward(activated)?,
            _ => x.clone(),
        };
        let normalisation = self.bn_branch2b1.scale_and_shift(&branch, training)?;
        let sum = self.conv_branch2b1.forward_activated(&branch, &normalisation, Some(&shortcut))?;
        Ok(BlockOutput { activated, sum })
    }
}

/// Channels and geometry of a [`BottleneckBlock`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct BottleneckShape {
    pub(crate) input: usize,
    /// Channels after the first and after the second convolution.
    pub(crate) middle: [usize; 2],
    pub(crate) output: usize,
    /// Dilation of the 3x3 convolution.
    pub(crate) dilation: usize,
}

/// A 3x3 convolution between two 1x1 ones, with dropout before the second and the third; always a projected shortcut.
#[derive(Clone, Debug)]
pub(crate) struct BottleneckBlock {
    bn_branch2a: BatchNorm,
    conv_branch2a: Conv,
    bn_branch2b1: BatchNorm,
    conv_branch2b1: Conv,
    bn_branch2b2: BatchNorm,
    conv_branch2b2: Conv,
    conv_branch1: Conv,
    dropout: f64,
    name: &'static str,
}

impl BottleneckBlock {
    /// `name` scopes its parameters and its random draws.
    ///
    /// # Errors
    /// When the builder has a parameter in another shape.
    pub(crate) fn new(
        shape: BottleneckShape,
        dropout: f64,
        name: &'static str,
        config: &ResNet38dConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let vb = vb.pp(name);
        let BottleneckShape { input, middle: [narrow, middle], output, dilation } = shape;
        let batch_norm =
            |channels, vb: &_| BatchNorm::new(channels, config.batch_norm_settings(), Activation::Relu, vb);
        let wide = ConvShape { input: narrow, output: middle, kernel: 3, stride: 1, dilation };
        Ok(Self {
            bn_branch2a: batch_norm(input, &vb.pp("bn_branch2a"))?,
            conv_branch2a: Conv::new(ConvShape::pointwise(input, narrow), &vb.pp("conv_branch2a"))?,
            bn_branch2b1: batch_norm(narrow, &vb.pp("bn_branch2b1"))?,
            conv_branch2b1: Conv::new(wide, &vb.pp("conv_branch2b1"))?,
            bn_branch2b2: batch_norm(middle, &vb.pp("bn_branch2b2"))?,
            conv_branch2b2: Conv::new(ConvShape::pointwise(middle, output), &vb.pp("conv_branch2b2"))?,
            conv_branch1: Conv::new(ConvShape::pointwise(input, output), &vb.pp("conv_branch1"))?,
            dropout,
            name,
        })
    }

    /// Trains, that is drops channels, when there is a sampler.
    ///
    /// # Errors
    /// When the channels do not fit, or a replayed sampler has no fitting draw.
    pub(crate) fn forward(&self, x: &Tensor, sampler: Option<&dyn Sampler>) -> Result<BlockOutput> {
        let training = sampler.is_some();
        // Normalised, and dropped, on the way into the next convolution: a channel that is dropped has a scale of 0.
        let next = |batch_norm: &BatchNorm, x: &Tensor, layer: &str| {
            let [scale, shift] = batch_norm.scale_and_shift(x, training)?;
            let Some(sampler) = sampler else { return Ok([scale, shift]) };
            let mut sampler = sampler.fork(&format!("{}.{layer}", self.name));
            Ok::<_, Error>(match dropout_mask(x, self.dropout, sampler.as_mut())? {
                Some(mask) => [scale.broadcast_mul(&mask)?, shift.broadcast_mul(&mask)?],
                None => [scale, shift],
            })
        };
        let activated = self.bn_branch2a.forward(x, training)?;
        let shortcut = self.conv_branch1.forward(&activated)?;
        // Assigned over, not shadowed: without a graph each goes when the next is there, and at twice the scale of a large
        // image these are the largest maps of all.
        let mut branch = self.conv_branch2a.forward(&activated)?;
        let mut normalisation = next(&self.bn_branch2b1, &branch, "dropout_2b1")?;
        branch = self.conv_branch2b1.forward_activated(&branch, &normalisation, None)?;
        normalisation = next(&self.bn_branch2b2, &branch, "dropout_2b2")?;
        let sum = self.conv_branch2b2.forward_activated(&branch, &normalisation, Some(&shortcut))?;
        Ok(BlockOutput { activated: Some(activated), sum })
    }
}
