//! [`Seam`]: the network, and the network as a baseline.

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_nn::init::{FanInOut, Init, NonLinearity, NormalOrUniform};
use candle_wsss::ops::{self, Corners};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Error, Mode, Objective, ParameterGroup, Result, Sampler, Step, View,
    ViewOutput,
};

use super::config::{FeatureTap, SeamConfig};
use super::loss::{self, ViewMaps};
use super::pcm;
use crate::backbone::{Conv, ConvShape, ResNet38d, Taps, dropout2d};

/// SEAM as a [`Baseline`]: ResNet38d, one 1x1 classifier, the pixel correlation module, four losses.
///
/// `cam` is the classifier's map, `refined_cam` that map after the module, both at the network's own resolution;
/// `features` is the trunk's last map, with dropout on it or not ([`FeatureTap`]). Parameter names are those of the
/// released network: `fc8`, `f8_3`, `f8_4`, `f9` beside the trunk's.
///
/// Reference weights have the background first: see [`background_to_last`].
///
/// # Randomness
/// Training draws from the scopes `b6.dropout_2b1`, `b6.dropout_2b2`, `b7.dropout_2b1`, `b7.dropout_2b2` and
/// `dropout7`; give each view a sampler of its own.
#[derive(Clone, Debug)]
pub struct Seam {
    config: SeamConfig,
    spec: BaselineSpec,
    scope: String,
    trunk: ResNet38d,
    fc8: Conv,
    f8_3: Conv,
    f8_4: Conv,
    f9: Conv,
}

impl Seam {
    /// A network for the classes of `layout`, whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: SeamConfig, layout: ClassLayout, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let [conv4, conv5, conv6] = ResNet38d::tap_channels(&config.backbone);
        let at = |channels: usize| config.backbone.scaled(channels);
        let low = at(config.pcm.low_channels);
        let high = at(config.pcm.high_channels);
        let correlation = at(config.pcm.correlation_channels);
        let joined = IMAGE_CHANNELS + low + high;
        let conv =
            |input, output, init, name: &str| Conv::with_init(ConvShape::pointwise(input, output), init, &vb.pp(name));
        let classes = layout.num_classes();
        Ok(Self {
            trunk: ResNet38d::new(&config.backbone, vb.clone())?,
            fc8: conv(conv6, classes, xavier(conv6, classes, 1.0), "fc8")?,
            f8_3: conv(conv4, low, KAIMING, "f8_3")?,
            f8_4: conv(conv5, high, KAIMING, "f8_4")?,
            f9: conv(joined, correlation, xavier(joined, correlation, F9_GAIN), "f9")?,
            spec: BaselineSpec { layout, feature_dim: conv6, stride: ResNet38d::STRIDE },
            scope: vb.prefix(),
            config,
        })
    }

    /// How it was built.
    pub fn config(&self) -> &SeamConfig {
        &self.config
    }

    /// Runs the trunk alone.
    ///
    /// # Errors
    /// When the view does not fit the network.
    pub fn taps(&self, view: &View, mode: Mode<'_>) -> Result<Taps> {
        self.trunk.forward(view.image(), mode)
    }

    fn run(&self, view: &View, sampler: Option<&dyn Sampler>) -> Result<ViewOutput> {
        let taps = self.trunk.run(view.image(), sampler)?;
        let dropped = match sampler {
            Some(sampler) => dropout2d(&taps.conv6, self.config.dropout, sampler.fork("dropout7").as_mut())?,
            None => taps.conv6.clone(),
        };
        let cam = self.fc8.forward(&dropped)?;
        let logits = self.logits(&cam)?;
        let seeds = pcm::normalized_seeds(&cam, self.spec.layout, self.config.pcm.epsilon)?;
        let correlation = self.correlation_features(view, &taps)?;
        let refined = pcm::refine(&seeds, &correlation, self.config.pcm.epsilon)?;
        let features = match self.config.feature_tap {
            FeatureTap::AfterDropout => dropped,
            FeatureTap::BeforeDropout => taps.conv6,
        };
        Ok(ViewOutput { logits, cam, refined_cam: Some(refined), features })
    }

    // The module learns from what it makes of the maps, not the trunk: its inputs are cut off.
    fn correlation_features(&self, view: &View, taps: &Taps) -> Result<Tensor> {
        let (_, _, h, w) = taps.conv6.dims4()?;
        let image = ops::resize_bilinear(view.image(), (h, w), Corners::Aligned)?;
        let low = ops::relu(&self.f8_3.forward(&taps.conv4.detach())?)?;
        let high = ops::relu(&self.f8_4.forward(&taps.conv5.detach())?)?;
        self.f9.forward(&Tensor::cat(&[image, low, high], 1)?)
    }

    fn logits(&self, cam: &Tensor) -> Result<Tensor> {
        Ok(cam.narrow(1, 0, self.spec.layout.num_foreground())?.flatten(2, 3)?.mean(2)?)
    }

    // What the losses see: the maps at the size of the image, or as the network made them.
    fn maps(&self, view: &View, output: &ViewOutput) -> Result<ViewMaps> {
        let refined = output.refined_cam.as_ref().ok_or_else(|| Error::value("refined_cam", "missing"))?;
        if !self.config.loss.upsample_cams {
            return Ok(ViewMaps { logits: output.logits.clone(), cam: output.cam.clone(), refined: refined.clone() });
        }
        let (_, _, height, width) = view.image().dims4()?;
        let enlarge = |map: &Tensor| ops::resize_bilinear(map, (height, width), Corners::Aligned);
        let cam = enlarge(&output.cam)?;
        // The released code averages what it has enlarged, which weighs the border differently.
        Ok(ViewMaps { logits: self.logits(&cam)?, refined: enlarge(refined)?, cam })
    }
}

impl Baseline for Seam {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        match mode {
            Mode::Eval => self.run(view, None),
            Mode::Train(sampler) => self.run(view, Some(sampler)),
        }
    }

    /// Terms `cls`, `min_pool`, `er` and `ecr`: [`loss::objective`].
    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        step.outputs.as_ref().try_map(|output| output.check(&self.spec))?;
        let maps = step.views.as_ref().zip(step.outputs.as_ref()).try_map(|(view, output)| self.maps(view, output))?;
        loss::objective(&maps, step.labels, &self.config.loss)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        let own = match self.scope.as_str() {
            "" => name,
            scope => name.strip_prefix(scope).and_then(|rest| rest.strip_prefix('.')).unwrap_or(name),
        };
        match own.split('.').next() {
            Some("fc8" | "f8_3" | "f8_4" | "f9") => ParameterGroup::FromScratch,
            _ => self.config.backbone.parameter_group(own),
        }
    }
}

/// Moves the first slice of a dimension to its end: from the released order of classes, background first, to ours.
///
/// For `fc8.weight` of a SEAM checkpoint (`dim` 0) and for maps of such a network (`dim` 1).
///
/// # Errors
/// When the dimension does not exist or is empty.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss_baselines::seam::background_to_last;
///
/// let maps = Tensor::new(&[[0f32, 1., 2.]], &Device::Cpu)?;
/// assert_eq!(background_to_last(&maps, 1)?.to_vec2::<f32>()?, [[1., 2., 0.]]);
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn background_to_last(tensor: &Tensor, dim: usize) -> Result<Tensor> {
    let count = tensor.dim(dim)?;
    if count == 0 {
        return Err(Error::value("classes", "must be at least 1, are 0"));
    }
    Ok(Tensor::cat(&[tensor.narrow(dim, 1, count - 1)?, tensor.narrow(dim, 0, 1)?], dim)?)
}

const IMAGE_CHANNELS: usize = 3;

const F9_GAIN: f64 = 4.0;

const KAIMING: Init =
    Init::Kaiming { dist: NormalOrUniform::Normal, fan: FanInOut::FanIn, non_linearity: NonLinearity::ReLU };

// Uniform within gain * sqrt(6 / (fan_in + fan_out)), of a 1x1 convolution.
fn xavier(input: usize, output: usize, gain: f64) -> Init {
    let bound = gain * (6.0 / (input + output) as f64).sqrt();
    Init::Uniform { lo: -bound, up: bound }
}
