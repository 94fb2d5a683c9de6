//! ResNet38d: the wide, shallow, pre-activation residual network under SEAM, EPS and what is built on them.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::error::expect_shape;
use candle_wsss::{Error, ParameterGroup, Result, Sampler};
use serde::{Deserialize, Serialize};

use super::batch_norm::{Activation, BatchNorm, BatchNormMode, BatchNormSettings};
use super::block::{BasicBlock, BasicShape, BottleneckBlock, BottleneckShape};
use super::check;
use super::layers::{Conv, ConvShape, check_dropout};
use super::{Backbone, BackboneSpec, Taps};

/// Size and training of a [`ResNet38d`]. The default is the released network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResNet38dConfig {
    /// Every number of channels is divided by this, `1..=64`; 1 is the paper's network of 105 million parameters.
    pub width_divisor: usize,
    /// Where batch normalisation takes its statistics from.
    pub batch_norm: BatchNormMode,
    /// Added to the variance.
    pub batch_norm_epsilon: f64,
    /// Share of the batch in the running statistics, `(0, 1]`; used by [`BatchNormMode::Train`] only.
    pub batch_norm_momentum: f64,
    /// Whether `conv1a` and the blocks `b2*` keep their pretrained weights.
    pub freeze_stem: bool,
    /// Channel dropout inside `b6`, in `[0, 1)`.
    pub dropout_b6: f64,
    /// Channel dropout inside `b7`, in `[0, 1)`.
    pub dropout_b7: f64,
}

impl Default for ResNet38dConfig {
    fn default() -> Self {
        Self {
            width_divisor: 1,
            batch_norm: BatchNormMode::Frozen,
            batch_norm_epsilon: 1e-5,
            batch_norm_momentum: 0.1,
            freeze_stem: true,
            dropout_b6: 0.3,
            dropout_b7: 0.5,
        }
    }
}

impl ResNet38dConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        let field = |name: &str| format!("{path}.{name}");
        check::width_divisor(path, self.width_divisor, STEM)?;
        self.batch_norm_settings().validate(path)?;
        check_dropout(&field("dropout_b6"), self.dropout_b6)?;
        check_dropout(&field("dropout_b7"), self.dropout_b7)
    }

    pub(super) fn batch_norm_settings(&self) -> BatchNormSettings {
        BatchNormSettings {
            mode: self.batch_norm,
            epsilon: self.batch_norm_epsilon,
            momentum: self.batch_norm_momentum,
        }
    }

    /// Stride and channels of the trunk.
    pub fn spec(&self) -> BackboneSpec {
        BackboneSpec { stride: STRIDE, channels: [CONV4, CONV5, CONV6].map(|channels| self.scaled(channels)) }
    }

    /// So many channels of the paper's network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        (channels / self.width_divisor).max(1)
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        let (layer, rest) = name.split_once('.').unwrap_or((name, ""));
        let is_stem = layer == "conv1a" || layer == "b2" || layer.starts_with("b2_");
        let is_batch_norm = layer.starts_with("bn") || rest.starts_with("bn");
        let is_statistic = name.ends_with(".running_mean") || name.ends_with(".running_var");
        let frozen = match (is_batch_norm, self.batch_norm) {
            (true, BatchNormMode::Frozen) => true,
            (true, BatchNormMode::Train) => is_statistic,
            (false, _) => is_stem && self.freeze_stem,
        };
        if frozen { ParameterGroup::Frozen } else { ParameterGroup::Pretrained }
    }
}

const STRIDE: usize = 8;

/// Channels of the paper's network.
const STEM: usize = 64;
const CONV4: usize = 512;
const CONV5: usize = 1024;
const B6: usize = 2048;
const CONV6: usize = 4096;

struct Stage {
    name: &'static str,
    blocks: usize,
    middle: usize,
    output: usize,
    stride: usize,
    first_dilation: usize,
    dilation: usize,
}

const SHALLOW: [Stage; 3] = [
    Stage { name: "b2", blocks: 3, middle: 128, output: 128, stride: 2, first_dilation: 1, dilation: 1 },
    Stage { name: "b3", blocks: 3, middle: 256, output: 256, stride: 2, first_dilation: 1, dilation: 1 },
    Stage { name: "b4", blocks: 6, middle: CONV4, output: CONV4, stride: 2, first_dilation: 1, dilation: 1 },
];

const B5: Stage =
    Stage { name: "b5", blocks: 3, middle: CONV4, output: CONV5, stride: 1, first_dilation: 1, dilation: 2 };

const DEEP_DILATION: usize = 4;

/// The trunk. Parameter names and shapes are those of the released PyTorch networks.
///
/// The taps, all at stride 8: the normalised, rectified inputs of `b5` and `b6` (512 and 1024 channels at width 1) and
/// the normalised, rectified output (4096), which the released code calls `conv4`, `conv5` and `conv6`.
///
/// Three strides of 2, at `b2`, `b3` and `b4`; dilation 2 in `b5` and 4 in `b6` and `b7` in place of further strides.
///
/// Frozen parameters are cut off from the graph, so no gradient is computed for them, nor through the stem for an
/// image that wants none. Built on tensors that are no variables (`VarBuilder::from_tensors`), it builds no graph at
/// all, which is what inference wants.
///
/// # Reference
/// Wu, Shen, van den Hengel, "Wider or Deeper: Revisiting the `ResNet` Model for Visual Recognition", model A; as in the
/// code of SEAM.
#[derive(Clone, Debug)]
pub struct ResNet38d {
    spec: BackboneSpec,
    conv1a: Conv,
    shallow: Vec<BasicBlock>,
    b5: Vec<BasicBlock>,
    b6: BottleneckBlock,
    b7: BottleneckBlock,
    bn7: BatchNorm,
}

impl ResNet38d {
    /// A trunk whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: &ResNet38dConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate("backbone")?;
        let at = |channels: usize| config.scaled(channels);
        let stem = ConvShape { input: 3, output: at(STEM), kernel: 3, stride: 1, dilation: 1 };
        let mut shallow = Vec::new();
        let mut input = STEM;
        for stage in &SHALLOW {
            let frozen = config.parameter_group(stage.name) == ParameterGroup::Frozen;
            shallow.extend(stage.build(input, frozen, config, &vb)?);
            input = stage.output;
        }
        let b6 = BottleneckShape {
            input: at(CONV5),
            middle: [at(B6 / 4), at(B6 / 2)],
            output: at(B6),
            dilation: DEEP_DILATION,
        };
        let b7 = BottleneckShape {
            input: at(B6),
            middle: [at(CONV6 / 4), at(CONV6 / 2)],
            output: at(CONV6),
            dilation: DEEP_DILATION,
        };
        Ok(Self {
            spec: config.spec(),
            conv1a: Conv::new(stem, &vb.pp("conv1a"))?.frozen(config.freeze_stem),
            shallow,
            b5: B5.build(input, false, config, &vb)?,
            b6: BottleneckBlock::new(b6, config.dropout_b6, "b6", config, &vb)?,
            b7: BottleneckBlock::new(b7, config.dropout_b7, "b7", config, &vb)?,
            bn7: BatchNorm::new(at(CONV6), config.batch_norm_settings(), Activation::Relu, &vb.pp("bn7"))?,
        })
    }
}

impl Backbone for ResNet38d {
    fn spec(&self) -> &BackboneSpec {
        &self.spec
    }

    fn forward(&self, image: &Tensor, sampler: Option<&dyn Sampler>) -> Result<Taps> {
        expect_shape("image", image, ["N".into(), 3.into(), "H".into(), "W".into()])?;
        let training = sampler.is_some();
        let mut x = self.conv1a.forward(image)?;
        for block in &self.shallow {
            x = block.forward(&x, training)?.sum;
        }
        let mut low = None;
        for block in &self.b5 {
            let output = block.forward(&x, training)?;
            low = low.or(output.activated);
            x = output.sum;
        }
        let low = low.ok_or_else(|| Error::value("stage b5", "has no projection"))?;
        let b6 = self.b6.forward(&x, sampler)?;
        let b7 = self.b7.forward(&b6.sum, sampler)?;
        let high = b6.activated.ok_or_else(|| Error::value("block b6", "has no projection"))?;
        Ok(Taps { low, high, last: self.bn7.forward(&b7.sum, training)? })
    }
}

impl Stage {
    fn build(
        &self,
        input: usize,
        frozen: bool,
        config: &ResNet38dConfig,
        vb: &VarBuilder<'_>,
    ) -> Result<Vec<BasicBlock>> {
        let at = |channels: usize| config.scaled(channels);
        let first = BasicShape {
            input: at(input),
            middle: at(self.middle),
            output: at(self.output),
            stride: self.stride,
            first_dilation: self.first_dilation,
            dilation: self.dilation,
        };
        let further = BasicShape { input: at(self.output), stride: 1, first_dilation: self.dilation, ..first };
        (0..self.blocks)
            .map(|index| match index {
                0 => BasicBlock::new(first, frozen, config, &vb.pp(self.name)),
                _ => BasicBlock::new(further, frozen, config, &vb.pp(format!("{}_{index}", self.name))),
            })
            .collect()
    }
}
