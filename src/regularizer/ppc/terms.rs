//! The terms: each pixel against the prototypes of both views.

use candle_core::{DType, Tensor};

use super::seeds::{PpcSeeds, prototypes, resized};
use super::{Candidates, PixelSampling, PpcConfig, SmallClasses, pixel_weights, sample_pixels};
use crate::contrast::prototype_logits;
use crate::error::{Error, Result, expect_shape};
use crate::label::ImageLabels;
use crate::objective::{LossTerms, Objective};
use crate::ops::unit;
use crate::prototype::pixel_rows;
use crate::sampler::Sampler;
use crate::view::Pair;

// `F.normalize`'s.
const NORMALIZE_EPSILON: f64 = 1e-12;

const ONE_CLASS: &str = "the batch has no second class to contrast with";

/// All terms, from projected features and activation maps: what [`PpcRegularizer`](super::PpcRegularizer) asks for
/// once it has projected the features.
///
/// With `f` a unit pixel feature, `t` its label, `P_v` the prototypes of view `v` in this step ([`prototypes`]), `v'` the
/// other view and `X(f, P, t) = -ln [exp(f·P_t / T) / Σ_c exp(f·P_c / T)]`:
///
/// * `cross_prototype = mean_v mean X(f_v, P_v', t_v)` and `cross_label = mean_v mean X(f_v, P_v, t_v')` over all pixels;
/// * `intra = mean_v mean_c mean_i X'(f_vi, P_v, c)` over the classes `c` that occur in `t_v` and the sampled pixels `i` of
///   each, where the sum in `X'` is over the pixel's own class and its mined negatives.
///
/// No gradient reaches the prototypes and the activation maps.
///
/// # Shapes
/// `features (N, d, h, w)`, `cams (N, num_classes, h, w)`, of any size, which may differ between the views: both are
/// brought to the grid.
///
/// # Errors
/// When the batch is empty or a shape does not fit.
///
/// # Reference
/// PPC (CVPR 2022), `contrast_train.py`, as released.
pub fn evaluate(
    features: &Pair<Tensor>,
    cams: Pair<&Tensor>,
    labels: &ImageLabels,
    config: &PpcConfig,
    sampler: &dyn Sampler,
) -> Result<Objective> {
    if labels.is_empty() {
        return Err(Error::value("batch", "must have at least one image"));
    }
    let seeds = PpcSeeds::new(cams, labels, config)?;
    let features = features.as_ref().try_map(|map| {
        expect_shape("projected features", map, [labels.len().into(), "d".into(), "h".into(), "w".into()])?;
        resized(map, config.grid)
    })?;
    let views = features.as_ref().zip(seeds.scores.as_ref().zip(seeds.labels.as_ref()));
    let views = views.try_map(|(map, (scores, targets))| {
        let pixels = unit(&pixel_rows(map)?, 1, NORMALIZE_EPSILON)?;
        let prototypes = prototypes(map, scores, labels, config)?;
        Ok::<_, Error>(PixelView { pixels, prototypes, targets: targets.flatten_all()? })
    })?;
    let candidates = Candidates::new(labels, config.absent_classes, features.source.device())?;
    Ok(Objective { terms: terms(&views, &candidates, config, sampler)?, ..Objective::default() })
}

// One view at the grid, `P` pixels of the batch in rows.
struct PixelView {
    // `(P, d)`, unit rows.
    pixels: Tensor,
    // `(num_classes, d)`.
    prototypes: Tensor,
    // `(P)`, `u32`.
    targets: Tensor,
}

fn terms(
    views: &Pair<PixelView>,
    candidates: &Candidates,
    config: &PpcConfig,
    sampler: &dyn Sampler,
) -> Result<LossTerms> {
    let mut terms = LossTerms::default();
    let cross = |of: &dyn Fn(&PixelView, &PixelView) -> Result<Tensor>| -> Result<Tensor> {
        views.as_ref().zip(views.as_ref().swapped()).try_map(|(own, other)| of(own, other))?.mean()
    };
    let contrast = |view: &PixelView, prototypes: &Tensor, targets: &Tensor| -> Result<Tensor> {
        let logits = prototype_logits(&view.pixels, prototypes, config.temperature)?;
        Ok(candidates.cross_entropy(&logits, targets)?.mean_all()?)
    };
    if config.cross_prototype > 0.0 {
        if candidates.count() < 2 {
            terms.omit("cross_prototype", ONE_CLASS);
        } else {
            let value = cross(&|own, other| contrast(own, &other.prototypes, &own.targets))?;
            terms.push("cross_prototype", config.weight * config.cross_prototype, value)?;
        }
    }
    if config.cross_label > 0.0 {
        if candidates.count() < 2 {
            terms.omit("cross_label", ONE_CLASS);
        } else {
            let value = cross(&|own, other| contrast(own, &own.prototypes, &other.targets))?;
            terms.push("cross_label", config.weight * config.cross_label, value)?;
        }
    }
    if config.intra > 0.0 {
        let scopes = Pair::new("intra/source", "intra/target");
        let values = views.as_ref().zip(scopes);
        match values.try_map(|(view, scope)| intra(view, candidates, config, sampler, scope))? {
            Pair { source: Intra::Value(source), target: Intra::Value(target) } => {
                terms.push("intra", config.weight * config.intra, Pair::new(source, target).mean()?)?;
            }
            Pair { source: Intra::Value(one), target: _ } | Pair { source: _, target: Intra::Value(one) } => {
                // A view of small classes only is a mean of nothing but them.
                let share = if config.small_classes == SmallClasses::Counted { 0.5 } else { 1.0 };
                terms.push("intra", config.weight * config.intra, (one * share)?)?;
            }
            Pair { source: Intra::Undefined(reason), .. } => terms.omit("intra", reason),
        }
    }
    Ok(terms)
}

// The contrast within one view, or why there is none.
enum Intra {
    Value(Tensor),
    Undefined(&'static str),
}

fn intra(
    view: &PixelView,
    candidates: &Candidates,
    config: &PpcConfig,
    sampler: &dyn Sampler,
    scope: &str,
) -> Result<Intra> {
    let logits = prototype_logits(&view.pixels, &view.prototypes, config.temperature)?;
    let Some(losses) = candidates.mined_cross_entropy(&logits, &view.targets, config)? else {
        return Ok(Intra::Undefined("the batch has no class left to contrast with after mining"));
    };
    let hard_fraction = match config.sampling {
        PixelSampling::All => return Ok(Intra::Value(losses.mean_all()?)),
        PixelSampling::EachClass => None,
        PixelSampling::HardHalf { hard_fraction } => Some(hard_fraction),
    };
    // The one copy to the host, of each view: how many pixels a class has decides how many are drawn.
    let own = logits.detach().gather(&view.targets.unsqueeze(1)?, 1)?.squeeze(1)?;
    let both = [view.targets.to_dtype(DType::F64)?, own.to_dtype(DType::F64)?];
    let both = Tensor::stack(&both, 0)?.to_vec2::<f64>()?;
    let targets: Vec<usize> = both[0].iter().map(|class| *class as usize).collect();
    let samples = sample_pixels(&targets, &both[1], hard_fraction, sampler, scope)?;
    let Some(weights) = pixel_weights(&samples, targets.len(), config.small_classes) else {
        return Ok(Intra::Undefined("no class has two pixels"));
    };
    let weights = Tensor::from_vec(weights, targets.len(), losses.device())?.to_dtype(losses.dtype())?;
    Ok(Intra::Value((losses * weights)?.sum_all()?))
}
