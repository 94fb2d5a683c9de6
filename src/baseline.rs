//! The network being regularized, as the losses see it.

use candle_core::Tensor;

use crate::error::{Result, expect_shape};
use crate::label::{ClassLayout, ImageLabels};
use crate::memory::MemoryState;
use crate::objective::Objective;
use crate::sampler::Sampler;
use crate::view::{Pair, View};

/// What regularizers must know to be built for a baseline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaselineSpec {
    /// Classes and their order.
    pub layout: ClassLayout,
    /// Channels of [`ViewOutput::features`].
    pub feature_dim: usize,
    /// Pixels of the image per cell of the maps.
    pub stride: usize,
}

/// How a network is run.
pub enum Mode<'a> {
    /// Evaluation: no dropout.
    Eval,
    /// Training: dropout draws from the sampler.
    Train(&'a mut dyn Sampler),
}

impl<'a> Mode<'a> {
    /// What dropout draws from; nothing in evaluation.
    pub fn sampler(self) -> Option<&'a mut dyn Sampler> {
        match self {
            Self::Eval => None,
            Self::Train(sampler) => Some(sampler),
        }
    }
}

impl std::fmt::Debug for Mode<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Eval => "Eval",
            Self::Train(_) => "Train",
        })
    }
}

/// What a network makes of a view, at the resolution of its maps.
#[derive(Clone, Debug)]
pub struct ViewOutput {
    /// `(N, num_foreground)` image-level logits.
    pub logits: Tensor,
    /// `(N, num_classes, h, w)` raw class activation maps, background last.
    pub cam: Tensor,
    /// The same after the baseline's own refinement (SEAM's PCM), if it has one.
    pub refined_cam: Option<Tensor>,
    /// `(N, feature_dim, h, w)`: the trunk's last feature map, which regularizers project.
    pub features: Tensor,
}

impl ViewOutput {
    /// The map seeds are made of: the refined one if there is one.
    pub fn seed_cam(&self) -> &Tensor {
        self.refined_cam.as_ref().unwrap_or(&self.cam)
    }

    /// Checks every shape against the specification.
    ///
    /// # Errors
    /// Naming the tensor that does not fit.
    pub fn check(&self, spec: &BaselineSpec) -> Result<()> {
        let classes = spec.layout.num_classes();
        expect_shape("ViewOutput::logits", &self.logits, ["N".into(), spec.layout.num_foreground().into()])?;
        let n = self.logits.dim(0)?;
        let map = |c: usize| [n.into(), c.into(), "h".into(), "w".into()];
        expect_shape("ViewOutput::cam", &self.cam, map(classes))?;
        if let Some(refined) = &self.refined_cam {
            expect_shape("ViewOutput::refined_cam", refined, map(classes))?;
        }
        expect_shape("ViewOutput::features", &self.features, map(spec.feature_dim))
    }
}

/// How far training has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Optimizer steps taken before this one.
    pub step: usize,
    /// Passes over the data finished before this step.
    pub epoch: usize,
    /// Whether this is the first step of its epoch.
    pub is_epoch_start: bool,
}

/// Everything a loss may look at; nothing it may change.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    /// The network being trained, for terms that need more forward passes.
    pub model: &'a dyn Baseline,
    /// What the network was given.
    pub views: &'a Pair<View>,
    /// What it made of it.
    pub outputs: &'a Pair<ViewOutput>,
    /// Image-level labels of the batch.
    pub labels: &'a ImageLabels,
    /// Where in the run this step is.
    pub progress: Progress,
}

/// How an optimizer treats a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ParameterGroup {
    /// Never changed: buffers, frozen stages.
    Frozen,
    /// Loaded from pretrained weights: base learning rate.
    Pretrained,
    /// New layers: ten times the base learning rate in all four papers.
    FromScratch,
}

/// A network trained with image-level labels.
pub trait Baseline: Send + Sync {
    /// What regularizers must know.
    fn spec(&self) -> &BaselineSpec;

    /// Runs the network on one view.
    ///
    /// # Errors
    /// When the view does not fit the network.
    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput>;

    /// The losses of this step. Changes nothing: the same step and sampler give the same objective.
    ///
    /// # Errors
    /// When the outputs do not fit the specification.
    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective>;

    /// The group of a trainable or frozen parameter, by its full name.
    fn parameter_group(&self, name: &str) -> ParameterGroup;

    /// Takes over the memory an objective proposed, after the optimizer's step.
    ///
    /// # Errors
    /// When the memory does not fit; nothing is changed then.
    fn commit(&mut self, next: MemoryState) -> Result<()> {
        next.expect_empty()
    }

    /// Everything a resumed run needs beside the parameters.
    ///
    /// # Errors
    /// Those of candle.
    fn memory(&self) -> Result<MemoryState> {
        Ok(MemoryState::default())
    }

    /// Takes up saved memory.
    ///
    /// # Errors
    /// When a tensor is missing, surplus or misshapen; nothing is changed then.
    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        self.commit(saved)
    }
}

impl<B: Baseline + ?Sized> Baseline for Box<B> {
    fn spec(&self) -> &BaselineSpec {
        (**self).spec()
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        (**self).forward(view, mode)
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        (**self).objective(step, sampler)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        (**self).parameter_group(name)
    }

    fn commit(&mut self, next: MemoryState) -> Result<()> {
        (**self).commit(next)
    }

    fn memory(&self) -> Result<MemoryState> {
        (**self).memory()
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        (**self).restore(saved)
    }
}
