//! [`Eps`]: the network, and the network as a baseline.

use std::sync::Arc;

use candle_nn::VarBuilder;
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Mode, Objective, ParameterGroup, Result, Sampler, Step, View, ViewOutput,
};

use super::config::EpsConfig;
use super::loss::{self, EpsMaps};
use crate::backbone::{Backbone, BackboneSpec, Conv, ConvShape, below, dropout2d};
use crate::seam::FeatureTap;
use crate::seam::pcm::{PcmHead, xavier};

/// EPS as a [`Baseline`]: a trunk (ResNet38d), one 1x1 classifier, classification and saliency loss; with SEAM's pixel
/// correlation module also SEAM's losses.
///
/// `cam` is the classifier's map, `refined_cam` that map after the module if there is one, both at the network's own
/// resolution; the losses see them so. `features` is the trunk's last map. The background is the last class in the
/// released network already, so its weights load as they are: `fc8`, and `f8_3`, `f8_4`, `f9` with the module.
///
/// Seeds are made of the softmax of `cam` ([`crate::infer::MapSource::Softmax`]), with the module as well.
///
/// # Randomness
/// Training draws from the trunk's scopes, and from `dropout7` where there is dropout; give each view a sampler of its
/// own.
#[derive(Clone, Debug)]
pub struct Eps {
    config: EpsConfig,
    spec: BaselineSpec,
    scope: String,
    trunk: Arc<dyn Backbone>,
    fc8: Conv,
    pcm: Option<PcmHead>,
}

impl Eps {
    /// A network for the classes of `layout`, whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: EpsConfig, layout: ClassLayout, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let BackboneSpec { stride, channels: [_, _, feature_dim] } = config.backbone.spec();
        let classes = layout.num_classes();
        let classifier = ConvShape::pointwise(feature_dim, classes);
        Ok(Self {
            trunk: config.backbone.build(vb.clone())?,
            fc8: Conv::with_init(classifier, xavier(feature_dim, classes, 1.0), &vb.pp("fc8"))?,
            pcm: config.pcm.as_ref().map(|pcm| PcmHead::new(pcm, &config.backbone, &vb)).transpose()?,
            spec: BaselineSpec { layout, feature_dim, stride },
            scope: vb.prefix(),
            config,
        })
    }

    /// How it was built.
    pub fn config(&self) -> &EpsConfig {
        &self.config
    }

    fn run(&self, view: &View, sampler: Option<&dyn Sampler>) -> Result<ViewOutput> {
        let taps = self.trunk.forward(view.image(), sampler)?;
        let dropped = match sampler {
            Some(sampler) => dropout2d(&taps.last, self.config.dropout, sampler.fork("dropout7").as_mut())?,
            None => taps.last.clone(),
        };
        let cam = self.fc8.forward(&dropped)?;
        let logits = cam.narrow(1, 0, self.spec.layout.num_foreground())?.flatten(2, 3)?.mean(2)?;
        let refine = |pcm: &PcmHead| pcm.forward(view.image(), &taps, &cam, self.spec.layout);
        let refined_cam = self.pcm.as_ref().map(refine).transpose()?;
        let features = match self.config.feature_tap {
            FeatureTap::AfterDropout => dropped,
            FeatureTap::BeforeDropout => taps.last,
        };
        Ok(ViewOutput { logits, cam, refined_cam, features })
    }
}

fn maps((view, output): (&View, &ViewOutput)) -> EpsMaps {
    let ViewOutput { logits, cam, refined_cam, .. } = output.clone();
    EpsMaps { logits, cam, refined: refined_cam, saliency: view.saliency().cloned() }
}

impl Baseline for Eps {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        self.run(view, mode.sampler().map(|sampler| &*sampler))
    }

    /// Terms `cls` and `sal`, with a pixel correlation module also `min_pool`, `er` and `ecr`: [`loss::objective`].
    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        step.outputs.as_ref().try_map(|output| output.check(&self.spec))?;
        let maps = step.views.as_ref().zip(step.outputs.as_ref()).map(maps);
        loss::objective(&maps, step.labels, &self.config.loss)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        let own = below(&self.scope, name);
        if PcmHead::owns(own) || own.starts_with("fc8.") {
            return ParameterGroup::FromScratch;
        }
        self.config.backbone.parameter_group(own)
    }
}
