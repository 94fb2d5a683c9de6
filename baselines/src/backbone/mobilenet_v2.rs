//! MobileNetV2: inverted residuals around depthwise convolutions.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::ops::{self, DepthwiseSpec};
use candle_wsss::{ParameterGroup, Result, Sampler};
use serde::{Deserialize, Serialize};

use super::batch_norm::{Activation, BatchNorm, BatchNormMode, BatchNormSettings};
use super::layers::{Conv, ConvShape, RECTIFIED_INIT};
use super::{Backbone, BackboneSpec, Taps, check};

/// Size and training of a [`MobileNetV2`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MobileNetV2Config {
    /// Every number of channels is divided by this, `1..=32`; 1 is the paper's network of 2.2 million parameters.
    pub width_divisor: usize,
    /// Pixels of the image per cell of the last map: 32 without dilation; 16 with dilation in place of the stride of
    /// `features.14`; 8 with dilation in place of that of `features.7` as well.
    pub output_stride: usize,
    /// So many leading stages keep their weights and stored statistics, `0..=5`; they end with the layers `features.1`,
    /// `3`, `6`, `13` and `18`.
    pub frozen_stages: usize,
    /// Where batch normalisation takes its statistics from.
    pub batch_norm: BatchNormMode,
    /// Added to the variance.
    pub batch_norm_epsilon: f64,
    /// Share of the batch in the running statistics, `(0, 1]`; used by [`BatchNormMode::Train`] only.
    pub batch_norm_momentum: f64,
}

impl Default for MobileNetV2Config {
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

impl MobileNetV2Config {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        check::width_divisor(path, self.width_divisor, STEM)?;
        check::output_stride(path, self.output_stride)?;
        check::frozen_stages(path, self.frozen_stages, STAGE_ENDS.len())?;
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
        let channels = [LOW_CHANNELS, HIGH_CHANNELS, HEAD].map(|channels| self.scaled(channels));
        BackboneSpec { stride: self.output_stride, channels }
    }

    /// So many channels of the paper's network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        (channels / self.width_divisor).max(1)
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        let index = name.strip_prefix("features.").and_then(|rest| rest.split('.').next()?.parse().ok());
        let frozen = index.is_some_and(|index| self.is_frozen(index));
        check::group(frozen, is_batch_norm(name), self.batch_norm, name)
    }

    fn is_frozen(&self, layer: usize) -> bool {
        STAGE_ENDS.iter().take(self.frozen_stages).any(|end| layer <= *end)
    }
}

/// The released names count layers: a convolution and its normalisation are `0` and `1` of a group; the last pair of a
/// block is not grouped, and stands behind one group in the first block and behind two in the others.
fn is_batch_norm(name: &str) -> bool {
    let parts: Vec<&str> = name.split('.').collect();
    matches!(
        parts[..],
        ["features", "1", "conv", "2", _]
            | ["features", _, "conv", "3", _]
            | ["features", _, "conv", "0" | "1", "1", _]
            | ["features", "0" | "18", "1", _]
    )
}

/// Channels of the paper's network.
const STEM: usize = 32;
const LOW_CHANNELS: usize = 32;
const HIGH_CHANNELS: usize = 96;
const HEAD: usize = 1280;

/// Index of the last layer, `features.18`.
const HEAD_INDEX: usize = 18;

/// Index of the last layer of every stage; a stage works at one stride.
const STAGE_ENDS: [usize; 5] = [1, 3, 6, 13, HEAD_INDEX];

/// Layers whose results are tapped.
const LOW: usize = 6;
const HIGH: usize = 13;

/// Stride of the stem.
const STEM_STRIDE: usize = 2;

/// A row of the paper's table 2.
struct Row {
    expansion: usize,
    channels: usize,
    blocks: usize,
    stride: usize,
}

const ROWS: [Row; 7] = [
    Row { expansion: 1, channels: 16, blocks: 1, stride: 1 },
    Row { expansion: 6, channels: 24, blocks: 2, stride: 2 },
    Row { expansion: 6, channels: LOW_CHANNELS, blocks: 3, stride: 2 },
    Row { expansion: 6, channels: 64, blocks: 4, stride: 2 },
    Row { expansion: 6, channels: HIGH_CHANNELS, blocks: 3, stride: 1 },
    Row { expansion: 6, channels: 160, blocks: 3, stride: 2 },
    Row { expansion: 6, channels: 320, blocks: 1, stride: 1 },
];

/// The trunk. Parameter names and shapes are those of torchvision's `mobilenet_v2` (`features.0.0.weight` and so on).
///
/// The taps are the results of `features.6` (32 channels at stride 8), `features.13` (96 at stride 16) and `features.18`
/// (1280). The first two are linear bottlenecks, so they have both signs.
///
/// Dilation replaces a stride as in a [`ResNet50`](super::ResNet50): the block that had the stride keeps the dilation
/// before it, the blocks behind it have twice that. Every halving rounds up.
///
/// # Reference
/// Sandler, Howard, Zhu, Zhmoginov, Chen, "MobileNetV2: Inverted Residuals and Linear Bottlenecks", table 2.
#[derive(Clone, Debug)]
pub struct MobileNetV2 {
    spec: BackboneSpec,
    stem: (Conv, BatchNorm),
    /// `features.1` to `features.17`.
    blocks: Vec<Block>,
    head: (Conv, BatchNorm),
}

impl MobileNetV2 {
    /// A trunk whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: &MobileNetV2Config, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate("backbone")?;
        let vb = vb.pp("features");
        let stem = ConvShape { input: 3, output: config.scaled(STEM), kernel: 3, stride: STEM_STRIDE, dilation: 1 };
        let (mut input, mut stride, mut dilation) = (stem.output, STEM_STRIDE, 1);
        let mut blocks = Vec::new();
        for row in &ROWS {
            let output = config.scaled(row.channels);
            for i in 0..row.blocks {
                let mut shape = BlockShape { input, output, expansion: row.expansion, stride: 1, dilation };
                let wanted = if i == 0 { row.stride } else { 1 };
                if stride * wanted > config.output_stride {
                    dilation *= wanted;
                } else {
                    shape.stride = wanted;
                    stride *= wanted;
                }
                let index = blocks.len() + 1;
                let frozen = config.is_frozen(index);
                let settings = config.batch_norm_settings().frozen(frozen);
                blocks.push(Block::new(shape, frozen, settings, &vb.pp(index).pp("conv"))?);
                input = output;
            }
        }
        let pair = |shape: ConvShape, index: usize| {
            let (vb, frozen) = (vb.pp(index), config.is_frozen(index));
            normalised(
                shape,
                Activation::Relu6,
                frozen,
                config.batch_norm_settings().frozen(frozen),
                [vb.pp(0), vb.pp(1)],
            )
        };
        let head = ConvShape::pointwise(input, config.scaled(HEAD));
        Ok(Self { spec: config.spec(), stem: pair(stem, 0)?, blocks, head: pair(head, HEAD_INDEX)? })
    }
}

impl Backbone for MobileNetV2 {
    fn spec(&self) -> &BackboneSpec {
        &self.spec
    }

    /// Draws nothing.
    fn forward(&self, image: &Tensor, sampler: Option<&dyn Sampler>) -> Result<Taps> {
        check::image(image, 1)?;
        let training = sampler.is_some();
        let pair = |(conv, batch_norm): &(Conv, BatchNorm), x: &Tensor| batch_norm.forward(&conv.forward(x)?, training);
        let run =
            |blocks: &[Block], x: &Tensor| blocks.iter().try_fold(x.clone(), |x, block| block.forward(&x, training));
        // The first block is `features.1`.
        let low = run(&self.blocks[..LOW], &pair(&self.stem, image)?)?;
        let high = run(&self.blocks[LOW..HIGH], &low)?;
        let last = pair(&self.head, &run(&self.blocks[HIGH..], &high)?)?;
        Ok(Taps { low, high, last })
    }
}

fn normalised(
    shape: ConvShape,
    activation: Activation,
    frozen: bool,
    settings: BatchNormSettings,
    [conv, batch_norm]: [VarBuilder<'_>; 2],
) -> Result<(Conv, BatchNorm)> {
    let batch_norm = BatchNorm::new(shape.output, settings, activation, &batch_norm)?;
    Ok((Conv::new(shape, &conv)?.frozen(frozen), batch_norm))
}

#[derive(Clone, Copy, Debug)]
struct BlockShape {
    input: usize,
    output: usize,
    /// Channels of the depthwise convolution per channel in.
    expansion: usize,
    stride: usize,
    dilation: usize,
}

/// Expansion, depthwise 3x3 convolution, projection; with a shortcut where the shape stays.
#[derive(Clone, Debug)]
struct Block {
    expand: Option<(Conv, BatchNorm)>,
    weight: Tensor,
    depthwise: DepthwiseSpec,
    bn: BatchNorm,
    project: (Conv, BatchNorm),
    has_shortcut: bool,
}

impl Block {
    fn new(shape: BlockShape, frozen: bool, settings: BatchNormSettings, vb: &VarBuilder<'_>) -> Result<Self> {
        let BlockShape { input, output, expansion, stride, dilation } = shape;
        let middle = expansion * input;
        let pair = |shape, activation, names| normalised(shape, activation, frozen, settings, names);
        // Without expansion its layer is missing, and the others move up.
        let is_expanded = expansion > 1;
        let at = usize::from(is_expanded);
        let expand = is_expanded.then(|| {
            let names = [vb.pp(0).pp(0), vb.pp(0).pp(1)];
            pair(ConvShape::pointwise(input, middle), Activation::Relu6, names)
        });
        let weight = vb.pp(at).pp(0).get_with_hints((middle, 1, KERNEL, KERNEL), "weight", RECTIFIED_INIT)?;
        let names = [vb.pp(at + 1), vb.pp(at + 2)];
        Ok(Self {
            expand: expand.transpose()?,
            weight: if frozen { weight.detach() } else { weight },
            depthwise: DepthwiseSpec { stride, padding: dilation * (KERNEL / 2), dilation },
            bn: BatchNorm::new(middle, settings, Activation::Relu6, &vb.pp(at).pp(1))?,
            project: pair(ConvShape::pointwise(middle, output), Activation::None, names)?,
            has_shortcut: input == output && stride == 1,
        })
    }

    fn forward(&self, x: &Tensor, training: bool) -> Result<Tensor> {
        let y = match &self.expand {
            Some((conv, batch_norm)) => batch_norm.forward(&conv.forward(x)?, training)?,
            None => x.clone(),
        };
        let y = self.bn.forward(&ops::depthwise_conv2d(&y, &self.weight, self.depthwise)?, training)?;
        let (conv, batch_norm) = &self.project;
        let y = batch_norm.forward(&conv.forward(&y)?, training)?;
        Ok(if self.has_shortcut { (x + y)? } else { y })
    }
}

/// Side of a depthwise kernel.
const KERNEL: usize = 3;
