//! [`HscSeeds`]: what each pixel is, according to the class activation maps.

use candle_core::Tensor;

use super::HscConfig;
use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::seed::{self, pseudo_label};
use crate::view::{Pair, View};

/// Scores and labels of both views at the grid. No gradient.
#[derive(Clone, Debug)]
pub struct HscSeeds {
    /// `(N, num_classes, h, w)`: normalised maps with a constant background, last.
    pub scores: Pair<Tensor>,
    /// `(N, h, w)`, `u32`: best class of the image, refined.
    pub labels: Pair<Tensor>,
}

impl HscSeeds {
    /// From the maps seeds are made of, `(N, num_classes, h, w)` each, and the target view, whose image refines the
    /// labels of both.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn new(cams: Pair<&Tensor>, target: &View, labels: &ImageLabels, config: &HscConfig) -> Result<Self> {
        let classes = labels.layout().num_classes();
        let scores = cams.try_map(|cam| {
            expect_shape("seed map", cam, [labels.len().into(), classes.into(), "h".into(), "w".into()])?;
            seed::scores(cam, config.grid, config.background_score)
        })?;
        let raw = scores.as_ref().try_map(|scores| pseudo_label(scores, labels))?;
        let labels = config.refine.apply(&raw, target, classes)?;
        Ok(Self { scores, labels })
    }
}
