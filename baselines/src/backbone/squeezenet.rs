//! SqueezeNet 1.0: fire modules, small enough to train on a CPU.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::ops::{self, MaxPool2dSpec};
use candle_wsss::{ParameterGroup, Result, Sampler};
use serde::{Deserialize, Serialize};

use super::layers::{Conv, ConvShape};
use super::{Backbone, BackboneSpec, Taps, check};

/// Size and training of a [`SqueezeNet`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SqueezeNetConfig {
    /// Every number of channels is divided by this, `1..=64`; 1 is the paper's network of 0.7 million parameters.
    pub width_divisor: usize,
    /// So many of the four leading stages (those between the pools) keep their weights, `0..=4`.
    pub frozen_stages: usize,
}

impl Default for SqueezeNetConfig {
    fn default() -> Self {
        Self { width_divisor: 1, frozen_stages: 0 }
    }
}

impl SqueezeNetConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        check::width_divisor(path, self.width_divisor, MOST_DIVISOR)?;
        check::frozen_stages(path, self.frozen_stages, 1 + STAGES.len())
    }

    /// Stride and channels of the trunk.
    pub fn spec(&self) -> BackboneSpec {
        let channels = STAGES.map(|stage| stage.last().map_or(0, |fire| 2 * self.scaled(fire.expand)));
        BackboneSpec { stride: STRIDE, channels }
    }

    /// So many channels of the paper's network at this width.
    pub fn scaled(&self, channels: usize) -> usize {
        (channels / self.width_divisor).max(1)
    }

    /// Group of a parameter of the trunk, by its name below the trunk's scope.
    pub fn parameter_group(&self, name: &str) -> ParameterGroup {
        let index = name.strip_prefix("features.").and_then(|rest| rest.split('.').next()?.parse::<usize>().ok());
        let stage = |index| STAGES.iter().take_while(|stage| stage[0].layer <= index).count();
        let frozen = index.is_some_and(|index| stage(index) < self.frozen_stages);
        if frozen { ParameterGroup::Frozen } else { ParameterGroup::Pretrained }
    }
}

const STRIDE: usize = 16;

const STEM: usize = 96;

/// As for the other trunks; the narrowest layer has 16 channels.
const MOST_DIVISOR: usize = 64;

/// A fire module of the paper's network.
#[derive(Clone, Copy)]
struct FireShape {
    /// Its index in the released network, which counts pools as well.
    layer: usize,
    squeeze: usize,
    /// Channels of each of the two expansions.
    expand: usize,
}

/// Fire modules between two pools; before the first is the stem.
const STAGES: [&[FireShape]; 3] = [
    &[
        FireShape { layer: 3, squeeze: 16, expand: 64 },
        FireShape { layer: 4, squeeze: 16, expand: 64 },
        FireShape { layer: 5, squeeze: 32, expand: 128 },
    ],
    &[
        FireShape { layer: 7, squeeze: 32, expand: 128 },
        FireShape { layer: 8, squeeze: 48, expand: 192 },
        FireShape { layer: 9, squeeze: 48, expand: 192 },
        FireShape { layer: 10, squeeze: 64, expand: 256 },
    ],
    &[FireShape { layer: 12, squeeze: 64, expand: 256 }],
];

const POOL: MaxPool2dSpec = MaxPool2dSpec { kernel: 3, stride: 2, padding: 0 };

/// Side of the smallest image that every pool has something of: 21 pixels become 8 after the stem, then 4, 2 and 1.
const LEAST_SIDE: usize = 21;

/// The trunk. Parameter names and shapes are those of torchvision's `squeezenet1_0` (`features.0.weight` and so on).
///
/// The taps are the results of `features.5` (256 channels at stride 4), `features.10` (512 at stride 8) and
/// `features.12` (512), the first two before their pools.
///
/// The stem has no padding and the pools round up, so maps are a little smaller than a sixteenth of the image: 13 cells
/// for 224 pixels. No batch normalisation.
///
/// # Reference
/// Iandola, Han, Moskewicz, Ashraf, Dally, Keutzer, "SqueezeNet: AlexNet-level accuracy with 50x fewer parameters and
/// <0.5MB model size", table 1.
#[derive(Clone, Debug)]
pub struct SqueezeNet {
    spec: BackboneSpec,
    stem: Conv,
    stages: [Vec<Fire>; 3],
}

impl SqueezeNet {
    /// A trunk whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: &SqueezeNetConfig, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate("backbone")?;
        let vb = vb.pp("features");
        let stem = ConvShape { input: 3, output: config.scaled(STEM), kernel: 7, stride: 2, dilation: 1 };
        let mut stages = [const { Vec::new() }; 3];
        let mut input = stem.output;
        for (index, (fires, shapes)) in stages.iter_mut().zip(STAGES).enumerate() {
            for shape in shapes {
                let (squeeze, expand) = (config.scaled(shape.squeeze), config.scaled(shape.expand));
                let frozen = index + 1 < config.frozen_stages;
                fires.push(Fire::new([input, squeeze, expand], frozen, &vb.pp(shape.layer))?);
                input = 2 * expand;
            }
        }
        let stem = Conv::biased(stem, &vb.pp(0))?.unpadded().frozen(config.frozen_stages > 0);
        Ok(Self { spec: config.spec(), stem, stages })
    }
}

impl Backbone for SqueezeNet {
    fn spec(&self) -> &BackboneSpec {
        &self.spec
    }

    /// Draws nothing.
    fn forward(&self, image: &Tensor, _sampler: Option<&dyn Sampler>) -> Result<Taps> {
        check::image(image, LEAST_SIDE)?;
        let [first, second, third] = &self.stages;
        let run = |stage: &[Fire], x: &Tensor| stage.iter().try_fold(pool(x)?, |x, fire| fire.forward(&x));
        let low = run(first, &self.stem.forward_relu(image)?)?;
        let high = run(second, &low)?;
        Ok(Taps { last: run(third, &high)?, low, high })
    }
}

/// A pool that rounds up, of a rectified map: zeros below and to the right of it are never larger than what the last
/// windows have of the map, and come after it.
fn pool(x: &Tensor) -> Result<Tensor> {
    let (_, _, h, w) = x.dims4()?;
    // Windows of three pixels, every second pixel: an odd side is used up.
    let missing = |size: usize| (size + 1) % 2;
    let padded = x.pad_with_zeros(2, 0, missing(h))?.pad_with_zeros(3, 0, missing(w))?;
    ops::max_pool2d(&padded, POOL)
}

/// A 1x1 convolution, and a 1x1 and a 3x3 one of its result side by side, all rectified.
#[derive(Clone, Debug)]
struct Fire {
    squeeze: Conv,
    expand1x1: Conv,
    expand3x3: Conv,
}

impl Fire {
    // Channels in, squeezed, and of each expansion.
    fn new([input, squeeze, expand]: [usize; 3], frozen: bool, vb: &VarBuilder<'_>) -> Result<Self> {
        let conv = |shape, name: &str| Ok::<_, candle_wsss::Error>(Conv::biased(shape, &vb.pp(name))?.frozen(frozen));
        let wide = ConvShape { input: squeeze, output: expand, kernel: 3, stride: 1, dilation: 1 };
        Ok(Self {
            squeeze: conv(ConvShape::pointwise(input, squeeze), "squeeze")?,
            expand1x1: conv(ConvShape::pointwise(squeeze, expand), "expand1x1")?,
            expand3x3: conv(wide, "expand3x3")?,
        })
    }

    fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.squeeze.forward_relu(x)?;
        Ok(Tensor::cat(&[self.expand1x1.forward_relu(&x)?, self.expand3x3.forward_relu(&x)?], 1)?)
    }
}
