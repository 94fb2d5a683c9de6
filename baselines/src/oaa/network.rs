//! [`Oaa`]: the network, and the network as a baseline.

use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Mode, Objective, Pair, ParameterGroup, Result, Sampler, Step, View,
    ViewOutput, ops,
};

use super::config::{ClassifiedViews, OaaConfig};
use super::head::MapHead;
use crate::backbone::{Backbone, BackboneSpec, below};

/// The network of OAA, which is also RCA's without what RCA adds: a trunk, and convolutions that make one map per class.
///
/// ```text
/// map    = extra_convs(x)                                        (N, num_foreground, h, w)
/// logit  = mean over pixels of map
/// ```
///
/// `cam` is the map with a background channel of zeros behind it: the network knows no background. Every step that makes
/// seeds out of maps here fills that channel itself or leaves it out; a soft-max over all channels (the option `softmax`
/// of `infer.source`) takes a logit of 0 for what the background scores, which nothing has trained.
/// There is no refinement. `features` is the trunk's last map. Parameter names are those of the released networks:
/// `extra_convs` beside the trunk's.
///
/// # Reference
/// Jiang et al., *Integral Object Mining via Online Attention Accumulation*, ICCV 2019; its accumulation is
/// [`accumulate`](crate::accumulate). RCA, `models/rca.py`.
#[derive(Clone, Debug)]
pub struct Oaa {
    config: OaaConfig,
    spec: BaselineSpec,
    scope: String,
    trunk: Arc<dyn Backbone>,
    head: MapHead,
}

impl Oaa {
    /// A network for the classes of `layout`, whose parameters come from `vb`.
    ///
    /// # Errors
    /// When the configuration is out of range, or a parameter has another shape.
    pub fn new(config: OaaConfig, layout: ClassLayout, vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        let BackboneSpec { stride, channels: [_, _, feature_dim] } = config.backbone.spec();
        Ok(Self {
            trunk: config.backbone.build(vb.clone())?,
            head: MapHead::new(&config.head, feature_dim, layout.num_foreground(), &vb.pp(HEAD))?,
            spec: BaselineSpec { layout, feature_dim, stride },
            scope: vb.prefix(),
            config,
        })
    }

    /// How it was built.
    pub fn config(&self) -> &OaaConfig {
        &self.config
    }

    fn run(&self, view: &View, sampler: Option<&dyn Sampler>) -> Result<ViewOutput> {
        let features = self.trunk.forward(view.image(), sampler)?.last;
        let map = self.head.forward(&features)?;
        let background = map.narrow(1, 0, 1)?.zeros_like()?;
        Ok(ViewOutput {
            logits: map.flatten(2, 3)?.mean(2)?,
            cam: Tensor::cat(&[map, background], 1)?,
            refined_cam: None,
            features,
        })
    }
}

const HEAD: &str = "extra_convs";

impl Baseline for Oaa {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        self.run(view, mode.sampler().map(|sampler| &*sampler))
    }

    /// One term, `cls`: [`ops::soft_margin`] of the logits, of the source view or as the mean of both
    /// ([`ClassifiedViews`]). Left out for an empty batch.
    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        step.outputs.as_ref().try_map(|output| output.check(&self.spec))?;
        let mut objective = Objective::default();
        if step.labels.is_empty() {
            objective.terms.omit("cls", "no image in the batch");
            return Ok(objective);
        }
        let Pair { source, target } = step.outputs;
        let targets = step.labels.multi_hot().to_dtype(source.logits.dtype())?;
        let source = ops::soft_margin(&source.logits, &targets)?;
        let loss = match self.config.loss.views {
            ClassifiedViews::Source => source,
            ClassifiedViews::Both => Pair::new(source, ops::soft_margin(&target.logits, &targets)?).mean()?,
        };
        objective.terms.push("cls", self.config.loss.cls, loss)?;
        Ok(objective)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        let own = below(&self.scope, name);
        if own.split('.').next() == Some(HEAD) {
            return ParameterGroup::FromScratch;
        }
        self.config.backbone.parameter_group(own)
    }
}
