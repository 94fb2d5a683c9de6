//! `ResNet50`: residual bottlenecks with dilation in place of the last strides.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::ops::{self, MaxPool2dSpec};
use candle_wsss::{ParameterGroup, Result, Sampler};
use serde::{Deserialize, Serialize};

use super::batch_norm::{Activation, BatchNorm, BatchNormMode, BatchNormSettings};
use super::layers::{CONV_INIT, Conv, ConvShape, RECTIFIED_INIT};
use super::{Backbone, BackboneSpec, Taps, check};

/// Size and training of a [`ResNet50`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNet50Config {
    /// Every number of channels is divided by this, `1..=64`; 1 is the paper's network of 24 million parameters.
    pub width_divisor: usize,
    /// Pixels of the image per cell of the last map: 32 without dilation; 16 with dilation in `layer4` in place of its
    /// stride; 8 with dilation in `layer3` as well.
    pub output_stride: usize,
    /// So many leading stages keep their weights and stored statistics, `0..=5`: the stem (`conv1`, `bn1`), then
    /// `layer1` to `layer4`.
    pub frozen_stages: usize,
    /// Where batch normalisation takes its statistics from.
    pub batch_norm: BatchNormMode,
    /// Added to the variance.
    pub batch_norm_epsilon: f64,
    /// Share of the batch in the running statistics, `(0, 1]`; used by [`BatchNormMode::Train`] only.
    pub batch_norm_momentum: f64,
}

impl Default for ResNet50Config {
    fn default() -> Self {
        Self {
            width_divisor: 1,
            output_stride: 16,
            frozen_stages: 0,
            batch_norm: BatchNormMode::Frozen,
            batch_norm_epsilon: 1e-5,
            batch_norm_momentum: 0.1,
        }
    }
}

impl ResNet50Config {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        check::width_divisor(path, self.width_divisor, STEM)?;
        check::output_stride(path, self.output_stride)?;
        check::frozen_stages(path, self.frozen_stages, 1 + LAYERS.len())?;
        self.batch_norm_settings().validate(path)
    }

    fn batch_norm_settings(&self) -> BatchNormSettings {
        BatchNormSettings {
            mode: self.batch_norm,
            epsilon: self.batch_norm_epsilon,
            momentum: self.batch_norm_momentum,
        }
    }

    /// Stride and channels of the trunk.
    pub fn spec(&self) -> BackboneSpec {
        let channels = [1, 2, 3].map(|layer| self.scaled(EXPANSION * LAYERS[layer].middle));
        BackboneSpec { stride: self.output_stride, channels }
    }

    /// So many channels of the paper's network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        (channels / self.width_divisor).max(1)
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        let parts: Vec<&str> = name.split('.').collect();
        let stage = LAYERS.iter().position(|layer| layer.name == parts[0]).map_or(0, |layer| 1 + layer);
        // The projection of a shortcut is `downsample.0`, its normalisation `downsample.1`.
        let is_batch_norm =
            parts.iter().any(|part| part.starts_with("bn")) || parts.windows(2).any(|pair| pair == ["downsample", "1"]);
        check::group(stage < self.frozen_stages, is_batch_norm, self.batch_norm, name)
    }
}

/// Channels of the paper's network.
const STEM: usize = 64;

/// Channels out of a block, per channel in its middle.
const EXPANSION: usize = 4;

struct Layer {
    name: &'static str,
    blocks: usize,
    middle: usize,
    stride: usize,
}

const LAYERS: [Layer; 4] = [
    Layer { name: "layer1", blocks: 3, middle: 64, stride: 1 },
    Layer { name: "layer2", blocks: 4, middle: 128, stride: 2 },
    Layer { name: "layer3", blocks: 6, middle: 256, stride: 2 },
    Layer { name: "layer4", blocks: 3, middle: 512, stride: 2 },
];

/// Stride of the stem and its pool together.
const STEM_STRIDE: usize = 4;

const STEM_POOL: MaxPool2dSpec = MaxPool2dSpec { kernel: 3, stride: 2, padding: 1 };

/// The trunk. Parameter names and shapes are those of torchvision's `resnet50`: the stride of a block is at its 3x3
/// convolution.
///
/// The taps are the results of `layer2` (512 channels at stride 8), `layer3` (1024) and `layer4` (2048).
///
/// Dilation replaces a stride as torchvision's `replace_stride_with_dilation` does: the first block of such a layer keeps
/// the dilation before it, the blocks behind it have twice that. Every halving rounds up.
///
/// # Reference
/// He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition".
#[derive(Clone, Debug)]
pub struct ResNet50 {
    spec: BackboneSpec,
    conv1: Conv,
    bn1: BatchNorm,
    layers: Vec<Vec<Block>>,
}

impl ResNet50 {
    /// A trunk whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: &ResNet50Config, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate("backbone")?;
        let stem = ConvShape { input: 3, output: config.scaled(STEM), kernel: 7, stride: 2, dilation: 1 };
        let frozen = config.frozen_stages > 0;
        let settings = config.batch_norm_settings().frozen(frozen);
        let (mut input, mut stride, mut dilation) = (stem.output, STEM_STRIDE, 1);
        let mut layers = Vec::new();
        for (index, layer) in LAYERS.iter().enumerate() {
            let is_dilated = stride * layer.stride > config.output_stride;
            let middle = config.scaled(layer.middle);
            let first = BlockShape {
                input,
                middle,
                output: config.scaled(EXPANSION * layer.middle),
                stride: if is_dilated { 1 } else { layer.stride },
                dilation,
            };
            stride *= first.stride;
            dilation *= layer.stride / first.stride;
            let further = BlockShape { input: first.output, stride: 1, dilation, ..first };
            let frozen = index + 1 < config.frozen_stages;
            let settings = config.batch_norm_settings().frozen(frozen);
            let vb = vb.pp(layer.name);
            let block = |i: usize| {
                let has_projection = i == 0;
                let shape = if has_projection { first } else { further };
                Block::new(shape, has_projection, frozen, settings, &vb.pp(i))
            };
            layers.push((0..layer.blocks).map(block).collect::<Result<_>>()?);
            input = first.output;
        }
        Ok(Self {
            spec: config.spec(),
            conv1: Conv::new(stem, &vb.pp("conv1"))?.frozen(frozen),
            bn1: BatchNorm::new(stem.output, settings, Activation::Relu, &vb.pp("bn1"))?,
            layers,
        })
    }
}

impl Backbone for ResNet50 {
    fn spec(&self) -> &BackboneSpec {
        &self.spec
    }

    /// Draws nothing.
    fn forward(&self, image: &Tensor, sampler: Option<&dyn Sampler>) -> Result<Taps> {
        check::image(image, 1)?;
        let training = sampler.is_some();
        let layer = |index: usize, x: &Tensor| {
            self.layers[index].iter().try_fold(x.clone(), |x, block| block.forward(&x, training))
        };
        let stem = self.bn1.forward(&self.conv1.forward(image)?, training)?;
        let low = layer(1, &layer(0, &ops::max_pool2d(&stem, STEM_POOL)?)?)?;
        let high = layer(2, &low)?;
        Ok(Taps { last: layer(3, &high)?, low, high })
    }
}

#[derive(Clone, Copy, Debug)]
struct BlockShape {
    input: usize,
    middle: usize,
    output: usize,
    stride: usize,
    dilation: usize,
}

/// A 3x3 convolution between two 1x1 ones, normalised and rectified; the sum with the shortcut is rectified too.
#[derive(Clone, Debug)]
struct Block {
    conv1: Conv,
    bn1: BatchNorm,
    conv2: Conv,
    bn2: BatchNorm,
    conv3: Conv,
    bn3: BatchNorm,
    downsample: Option<(Conv, BatchNorm)>,
}

impl Block {
    fn new(
        shape: BlockShape,
        has_projection: bool,
        frozen: bool,
        settings: BatchNormSettings,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let BlockShape { input, middle, output, stride, dilation } = shape;
        let conv = |shape, init, vb: VarBuilder<'_>| {
            Ok::<_, candle_wsss::Error>(Conv::with_init(shape, init, &vb)?.frozen(frozen))
        };
        let batch_norm = |channels, activation, vb: VarBuilder<'_>| BatchNorm::new(channels, settings, activation, &vb);
        let wide = ConvShape { input: middle, output: middle, kernel: 3, stride, dilation };
        let projection = ConvShape { input, output, kernel: 1, stride, dilation: 1 };
        let downsample = vb.pp("downsample");
        let downsample = || {
            Ok::<_, candle_wsss::Error>((
                conv(projection, CONV_INIT, downsample.pp(0))?,
                batch_norm(output, Activation::None, downsample.pp(1))?,
            ))
        };
        Ok(Self {
            conv1: conv(ConvShape::pointwise(input, middle), RECTIFIED_INIT, vb.pp("conv1"))?,
            bn1: batch_norm(middle, Activation::Relu, vb.pp("bn1"))?,
            conv2: conv(wide, RECTIFIED_INIT, vb.pp("conv2"))?,
            bn2: batch_norm(middle, Activation::Relu, vb.pp("bn2"))?,
            // Smaller, because its result is added to the shortcut.
            conv3: conv(ConvShape::pointwise(middle, output), CONV_INIT, vb.pp("conv3"))?,
            bn3: batch_norm(output, Activation::None, vb.pp("bn3"))?,
            downsample: has_projection.then(downsample).transpose()?,
        })
    }

    fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let shortcut = match &self.downsample {
            Some((conv, batch_norm)) => batch_norm.forward(&conv.forward(x)?, training)?,
            None => x.clone(),
        };
        let y = self.bn1.forward(&self.conv1.forward(x)?, training)?;
        let y = self.bn2.forward(&self.conv2.forward(&y)?, training)?;
        let y = self.bn3.forward(&self.conv3.forward(&y)?, training)?;
        ops::relu(&(y + shortcut)?)
    }
}
