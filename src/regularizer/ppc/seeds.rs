//! [`PpcSeeds`]: what each pixel is, according to the class activation maps; and the prototypes made of it.

use candle_core::Tensor;

use super::PpcConfig;
use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::ops::{Corners, resize_bilinear};
use crate::regularizer::hsc::{PixelConfig, step_prototypes};
use crate::seed::{self, pseudo_label};
use crate::view::Pair;

/// Scores and labels of both views at the grid. No gradient.
#[derive(Clone, Debug)]
pub struct PpcSeeds {
    /// `(N, num_classes, h, w)`: normalised maps with a constant background, last.
    pub scores: Pair<Tensor>,
    /// `(N, h, w)`, `u32`: best class of the image.
    pub labels: Pair<Tensor>,
}

impl PpcSeeds {
    /// From the maps seeds are made of, `(N, num_classes, h, w)` each.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn new(cams: Pair<&Tensor>, labels: &ImageLabels, config: &PpcConfig) -> Result<Self> {
        let Pair { source, target } = cams.try_map(|cam| Self::of_view(cam, labels, config))?;
        Ok(Self { scores: Pair::new(source.0, target.0), labels: Pair::new(source.1, target.1) })
    }

    /// Scores and labels of one view.
    pub(super) fn of_view(cam: &Tensor, labels: &ImageLabels, config: &PpcConfig) -> Result<(Tensor, Tensor)> {
        let classes = labels.layout().num_classes();
        expect_shape("seed map", cam, [labels.len().into(), classes.into(), "h".into(), "w".into()])?;
        let scores = seed::scores(cam, config.grid, config.background_score)?;
        let labels = pseudo_label(&scores, labels)?;
        Ok((scores, labels))
    }
}

/// Resizes a map (bilinear, aligned corners) unless it has the size already.
pub(super) fn resized(map: &Tensor, size: (usize, usize)) -> Result<Tensor> {
    let (_, _, h, w) = map.dims4()?;
    if (h, w) == size { Ok(map.clone()) } else { resize_bilinear(map, size, Corners::Aligned) }
}

/// Prototypes of one view in this step, `(num_classes, d)`: unit vectors, no gradient.
///
/// `P_c = unit(Σ s f / Σ s)` over the pixels of the whole batch with the best scores `s` of the class, whatever their
/// images' labels: [`step_prototypes`], which HSC took over from here.
///
/// # Shapes
/// `features (N, d, h, w)`, `scores (N, num_classes, h, w)`.
///
/// # Errors
/// When the shapes differ.
pub fn prototypes(features: &Tensor, scores: &Tensor, labels: &ImageLabels, config: &PpcConfig) -> Result<Tensor> {
    let like = PixelConfig {
        pixels_per_prototype_divisor: config.pixels_per_prototype_divisor,
        background_prototype: config.background_prototype,
        ..PixelConfig::default()
    };
    step_prototypes(features, scores, labels, &like)
}
