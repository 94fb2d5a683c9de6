//! VGG16: the plain network under OAA and RCA.

use std::ops::RangeInclusive;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::ops::{self, MaxPool2dSpec};
use candle_wsss::{ParameterGroup, Result, Sampler};
use serde::{Deserialize, Serialize};

use super::layers::{Conv, ConvShape};
use super::{Backbone, BackboneSpec, Taps, check};

/// Size and training of a [`Vgg16`]. The default is the trunk of the released RCA and OAA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Vgg16Config {
    /// Every number of channels is divided by this, `1..=64`; 1 is the paper's network.
    pub width_divisor: usize,
    /// Pixels of the image per cell of the last map.
    ///
    /// 8 as in the released code of RCA and OAA: a pool of 3x3 pixels and stride 1 before the fifth stage, whose
    /// convolutions have dilation 2, and none after it. 16: the fourth pool divides by 2 as usual, without dilation.
    /// 32: all five pools, as for the classification of images.
    pub output_stride: usize,
    /// So many of the five leading stages (those between the pools) keep their weights, `0..=5`.
    pub frozen_stages: usize,
}

impl Default for Vgg16Config {
    fn default() -> Self {
        Self { width_divisor: 1, output_stride: RELEASED_STRIDE, frozen_stages: 0 }
    }
}

impl Vgg16Config {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        check::width_divisor(path, self.width_divisor, STAGES[0].channels)?;
        check::output_stride(path, self.output_stride)?;
        check::frozen_stages(path, self.frozen_stages, STAGES.len())
    }

    /// Stride and channels of the trunk.
    pub fn spec(&self) -> BackboneSpec {
        let channels = [LOW, HIGH, LAST].map(|stage| self.scaled(STAGES[stage].channels));
        BackboneSpec { stride: self.output_stride, channels }
    }

    /// So many channels of the paper's network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        (channels / self.width_divisor).max(1)
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        let index = name.strip_prefix("features.").and_then(|rest| rest.split('.').next());
        let frozen = STAGES[..self.frozen_stages.min(STAGES.len())]
            .iter()
            .flat_map(|stage| stage.layers)
            .any(|layer| index == Some(layer.to_string().as_str()));
        if frozen { ParameterGroup::Frozen } else { ParameterGroup::Pretrained }
    }

    // What comes behind the stage of that index.
    fn pool_after(&self, stage: usize) -> Option<MaxPool2dSpec> {
        match stage {
            HIGH if self.output_stride == RELEASED_STRIDE => Some(SMOOTHING),
            LAST if self.output_stride <= HALVED_FOUR_TIMES => None,
            _ => Some(HALVING),
        }
    }
}

const RELEASED_STRIDE: usize = 8;
const HALVED_FOUR_TIMES: usize = 16;

const HALVING: MaxPool2dSpec = MaxPool2dSpec { kernel: 2, stride: 2, padding: 0 };
const SMOOTHING: MaxPool2dSpec = MaxPool2dSpec { kernel: 3, stride: 1, padding: 1 };

/// Convolutions between two pools.
struct Stage {
    /// Their indices in the released networks, which count rectifications and pools as well.
    layers: &'static [usize],
    channels: usize,
}

const STAGES: [Stage; 5] = [
    Stage { layers: &[0, 2], channels: 64 },
    Stage { layers: &[5, 7], channels: 128 },
    Stage { layers: &[10, 12, 14], channels: 256 },
    Stage { layers: &[17, 19, 21], channels: 512 },
    Stage { layers: &[24, 26, 28], channels: 512 },
];

/// Stages whose results are tapped.
const LOW: usize = 2;
const HIGH: usize = 3;
const LAST: usize = 4;

/// The trunk: thirteen rectified 3x3 convolutions with bias. Parameter names and shapes are those of torchvision's
/// `vgg16` (`features.0.weight` and so on), which the released networks keep.
///
/// The taps are the rectified results of the stages, before their pools: `conv3_3` (256 channels at stride 4), `conv4_3`
/// (512 at stride 8) and `conv5_3` (512, after the last pool if there is one).
///
/// Pools round down: an image of 71 pixels has 8 cells of stride 8.
///
/// # Reference
/// Simonyan, Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", configuration D; as in the
/// code of RCA, `models/rca.py`.
#[derive(Clone, Debug)]
pub struct Vgg16 {
    config: Vgg16Config,
    spec: BackboneSpec,
    stages: Vec<Vec<Conv>>,
}

impl Vgg16 {
    /// A trunk whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: &Vgg16Config, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate("backbone")?;
        let vb = vb.pp("features");
        let mut input = IMAGE_CHANNELS;
        let mut stages = Vec::new();
        for (index, stage) in STAGES.iter().enumerate() {
            let output = config.scaled(stage.channels);
            let dilation = if index == LAST && config.output_stride == RELEASED_STRIDE { 2 } else { 1 };
            let mut convs = Vec::new();
            for layer in stage.layers {
                let shape = ConvShape { input, output, kernel: 3, stride: 1, dilation };
                convs.push(Conv::biased(shape, &vb.pp(layer))?.frozen(index < config.frozen_stages));
                input = output;
            }
            stages.push(convs);
        }
        Ok(Self { spec: config.spec(), config: config.clone(), stages })
    }

    // Some stages with the pools between them.
    fn run(&self, stages: RangeInclusive<usize>, x: &Tensor) -> Result<Tensor> {
        let mut x = x.clone();
        for stage in stages.clone() {
            if stage > *stages.start() {
                x = self.pooled(stage - 1, &x)?;
            }
            x = self.stages[stage].iter().try_fold(x, |x, conv| conv.forward_relu(&x))?;
        }
        Ok(x)
    }

    // The result of a stage after the pool behind it.
    fn pooled(&self, stage: usize, x: &Tensor) -> Result<Tensor> {
        self.config.pool_after(stage).map_or_else(|| Ok(x.clone()), |pool| ops::max_pool2d(x, pool))
    }
}

const IMAGE_CHANNELS: usize = 3;

impl Backbone for Vgg16 {
    fn spec(&self) -> &BackboneSpec {
        &self.spec
    }

    /// Draws nothing.
    fn forward(&self, image: &Tensor, _sampler: Option<&dyn Sampler>) -> Result<Taps> {
        check::image(image, self.config.output_stride)?;
        let low = self.run(0..=LOW, image)?;
        let high = self.run(LOW + 1..=HIGH, &self.pooled(LOW, &low)?)?;
        let last = self.run(HIGH + 1..=LAST, &self.pooled(HIGH, &high)?)?;
        Ok(Taps { last: self.pooled(LAST, &last)?, low, high })
    }
}
