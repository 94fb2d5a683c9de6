//! [`Seam`]: the network, and the network as a baseline.

use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::ops;
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Error, Mode, Objective, ParameterGroup, Result, Sampler, Step, View,
    ViewOutput,
};

use super::config::{FeatureTap, SeamConfig};
use super::loss::{self, ViewMaps};
use super::pcm::{PcmHead, xavier};
use crate::backbone::{Backbone, BackboneSpec, Conv, ConvShape, Taps, below, dropout2d};

/// SEAM as a [`Baseline`]: a trunk (ResNet38d), one 1x1 classifier, the pixel correlation module, four losses.
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
    trunk: Arc<dyn Backbone>,
    fc8: Conv,
    pcm: PcmHead,
}

impl Seam {
    /// A network for the classes of `layout`, whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: SeamConfig, layout: ClassLayout, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let BackboneSpec { stride, channels: [_, _, feature_dim] } = config.backbone.spec();
        let classes = layout.num_classes();
        let classifier = ConvShape::pointwise(feature_dim, classes);
        Ok(Self {
            trunk: config.backbone.build(vb.clone())?,
            fc8: Conv::with_init(classifier, xavier(feature_dim, classes, 1.0), &vb.pp("fc8"))?,
            pcm: PcmHead::new(&config.pcm, &config.backbone, &vb)?,
            spec: BaselineSpec { layout, feature_dim, stride },
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
        self.trunk.forward(view.image(), mode.sampler().map(|sampler| &*sampler))
    }

    fn run(&self, view: &View, sampler: Option<&dyn Sampler>) -> Result<ViewOutput> {
        let taps = self.trunk.forward(view.image(), sampler)?;
        let dropped = match sampler {
            Some(sampler) => dropout2d(&taps.last, self.config.dropout, sampler.fork("dropout7").as_mut())?,
            None => taps.last.clone(),
        };
        let cam = self.fc8.forward(&dropped)?;
        let logits = self.logits(&cam)?;
        let refined = self.pcm.forward(view.image(), &taps, &cam, self.spec.layout)?;
        let features = match self.config.feature_tap {
            FeatureTap::AfterDropout => dropped,
            FeatureTap::BeforeDropout => taps.last,
        };
        Ok(ViewOutput { logits, cam, refined_cam: Some(refined), features })
    }

    fn logits(&self, cam: &Tensor) -> Result<Tensor> {
        Ok(cam.narrow(1, 0, self.spec.layout.num_foreground())?.flatten(2, 3)?.mean(2)?)
    }

    // What the losses see: the maps as the network made them.
    fn maps(&self, view: &View, output: &ViewOutput) -> Result<ViewMaps> {
        let refined = output.refined_cam.as_ref().ok_or_else(|| Error::value("refined_cam", "missing"))?;
        let logits = if self.config.loss.upsample_cams {
            // The released code averages what it has enlarged, which weighs the border differently.
            let foreground = output.cam.narrow(1, 0, self.spec.layout.num_foreground())?;
            ops::resized_mean(&foreground, size(view)?)?
        } else {
            output.logits.clone()
        };
        Ok(ViewMaps { logits, cam: output.cam.clone(), refined: refined.clone() })
    }
}

// Height and width of the image.
fn size(view: &View) -> Result<(usize, usize)> {
    let (_, _, height, width) = view.image().dims4()?;
    Ok((height, width))
}

impl Baseline for Seam {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        self.run(view, mode.sampler().map(|sampler| &*sampler))
    }

    /// Terms `cls`, `min_pool`, `er` and `ecr`: [`loss::objective_at`] the size of the images, or [`loss::objective`].
    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        step.outputs.as_ref().try_map(|output| output.check(&self.spec))?;
        let maps = step.views.as_ref().zip(step.outputs.as_ref()).try_map(|(view, output)| self.maps(view, output))?;
        if !self.config.loss.upsample_cams {
            return loss::objective(&maps, step.labels, &self.config.loss);
        }
        loss::objective_at(&maps, step.views.as_ref().try_map(size)?, step.labels, &self.config.loss)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        let own = below(&self.scope, name);
        if PcmHead::owns(own) || own.starts_with("fc8.") {
            return ParameterGroup::FromScratch;
        }
        self.config.backbone.parameter_group(own)
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
