//! The terms: each pixel against the prototypes of both views.

use candle_core::{DType, Tensor};

use super::seeds::{PpcSeeds, prototypes, resized};
use super::{
    Candidates, PixelSampling, PositiveRank, PpcConfig, PrototypeMining, SmallClasses, pixel_weights, sample_pixels,
};
use crate::contrast::prototype_logits;
use crate::error::{Error, Result, expect_shape};
use crate::label::ImageLabels;
use crate::objective::{LossTerms, Objective};
use crate::ops::{ContrastInputs, ContrastTerm, HardHalf, Negatives, PixelWeights, prototype_contrast, unit};
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
/// No gradient reaches the prototypes and the activation maps. Of each view, [`prototype_contrast`] computes all terms at
/// once; with draws that have a [`hash_key`](Sampler::hash_key), nothing is read back from the device, and with a batch of
/// more pixels than classes some class has two pixels, so that `intra` cannot be undefined for want of them.
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
    let features = features.as_ref().try_map(|map| {
        expect_shape("projected features", map, [labels.len().into(), "d".into(), "h".into(), "w".into()])?;
        resized(map, config.grid)
    })?;
    // The scores of a view are gone before those of the other are made.
    let Pair { source, target } = features.as_ref().zip(cams).try_map(|(map, cam)| {
        let (scores, targets) = PpcSeeds::of_view(cam, labels, config)?;
        Ok::<_, Error>((prototypes(map, &scores, labels, config)?, targets.flatten_all()?))
    })?;
    let views = Views {
        prototypes: Tensor::stack(&[&source.0, &target.0], 0)?,
        targets: Tensor::stack(&[&source.1, &target.1], 0)?,
        candidates: Candidates::new(labels, config.absent_classes, features.source.device())?,
        features,
    };
    Ok(Objective { terms: views.terms(config, sampler)?, ..Objective::default() })
}

// Both views at the grid, `P` pixels of the batch each.
struct Views {
    // `(N, d, h, w)`.
    features: Pair<Tensor>,
    // `(2, num_classes, d)`: of the source view, of the target view.
    prototypes: Tensor,
    // `(2, P)`, `u32`.
    targets: Tensor,
    candidates: Candidates,
}

// The views in what is stacked.
const ROWS: Pair<usize> = Pair { source: 0, target: 1 };

// The contrast within one view, or why there is none.
enum Within {
    Term(ContrastTerm),
    Undefined(&'static str),
}

impl Within {
    fn term(self) -> Option<ContrastTerm> {
        match self {
            Self::Term(term) => Some(term),
            Self::Undefined(_) => None,
        }
    }
}

impl Views {
    fn terms(&self, config: &PpcConfig, sampler: &dyn Sampler) -> Result<LossTerms> {
        let mut terms = LossTerms::default();
        let mut names = Vec::new();
        let mut of_view = Pair::new(Vec::new(), Vec::new());
        let across = [("cross_prototype", config.cross_prototype, true), ("cross_label", config.cross_label, false)];
        for (name, factor, prototypes_cross) in across.into_iter().filter(|(_, factor, _)| *factor > 0.0) {
            if self.candidates.count() < 2 {
                terms.omit(name, ONE_CLASS);
                continue;
            }
            names.push((name, factor));
            of_view.source.push(across_views(ROWS.source, prototypes_cross));
            of_view.target.push(across_views(ROWS.target, prototypes_cross));
        }
        if config.intra > 0.0 {
            names.push(("intra", config.intra));
            let within = ROWS.try_map(|view| self.within(view, config, sampler))?;
            if let (Within::Undefined(reason), Within::Undefined(_)) = (&within.source, &within.target) {
                terms.omit("intra", *reason);
            }
            of_view.source.extend(within.source.term());
            of_view.target.extend(within.target.term());
        }
        for ((name, factor), value) in names.into_iter().zip(self.values(&of_view, config)?) {
            terms.push(name, config.weight * factor, value)?;
        }
        Ok(terms)
    }

    // The mean over the views of each term.
    fn values(&self, of_view: &Pair<Vec<ContrastTerm>>, config: &PpcConfig) -> Result<Vec<Tensor>> {
        let inputs = ContrastInputs {
            prototypes: &self.prototypes,
            labels: &self.targets,
            allowed: self.candidates.mask(),
            temperature: config.temperature,
        };
        let of_view = self.features.as_ref().zip(of_view.as_ref()).try_map(|(features, terms)| {
            if terms.is_empty() { Ok(None) } else { prototype_contrast(features, &inputs, terms).map(Some) }
        })?;
        let len = |values: &Option<Tensor>| values.as_ref().map_or(0, Tensor::elem_count);
        let in_both = len(&of_view.source).min(len(&of_view.target));
        let mut values = Vec::new();
        if let Pair { source: Some(source), target: Some(target) } = &of_view {
            let mean = Pair::new(source.narrow(0, 0, in_both)?, target.narrow(0, 0, in_both)?).mean()?;
            for term in 0..in_both {
                values.push(mean.get(term)?);
            }
        }
        // A view of small classes only is a mean of nothing but them.
        let share = if config.small_classes == SmallClasses::Counted { 0.5 } else { 1.0 };
        for one in [of_view.source, of_view.target].into_iter().flatten().filter(|one| one.elem_count() > in_both) {
            values.push((one.get(in_both)? * share)?);
        }
        Ok(values)
    }

    fn within(&self, view: usize, config: &PpcConfig, sampler: &dyn Sampler) -> Result<Within> {
        let negatives = match config.mining {
            PrototypeMining::All => (self.candidates.count() > 1).then_some(Negatives::All),
            PrototypeMining::SemiHard(_) => self
                .candidates
                .ranks(config)
                .map(|ranks| Negatives::Ranked { ranks, own: config.positive_rank == PositiveRank::Ranked }),
        };
        let Some(negatives) = negatives else {
            return Ok(Within::Undefined("the batch has no class left to contrast with after mining"));
        };
        let weights = match config.sampling {
            PixelSampling::All => Some(PixelWeights::Uniform),
            PixelSampling::EachClass => Some(PixelWeights::Classes { half: None, count_empty: false }),
            PixelSampling::HardHalf { hard_fraction } => self.sampled(view, hard_fraction, config, sampler)?,
        };
        let Some(weights) = weights else { return Ok(Within::Undefined("no class has two pixels")) };
        Ok(Within::Term(ContrastTerm { prototypes: view, labels: view, negatives, weights }))
    }

    // Nothing when no class has two pixels.
    fn sampled(
        &self,
        view: usize,
        fraction: f64,
        config: &PpcConfig,
        sampler: &dyn Sampler,
    ) -> Result<Option<PixelWeights>> {
        let scope = ["intra/source", "intra/target"][view];
        let (_, classes, _) = self.prototypes.dims3()?;
        let pixels = self.targets.dim(1)?;
        if let Some(key) = sampler.fork(scope).hash_key().filter(|_| pixels > classes) {
            let count_empty = config.small_classes == SmallClasses::Counted;
            return Ok(Some(PixelWeights::Classes { half: Some(HardHalf { fraction, key }), count_empty }));
        }
        // The one copy to the host: how many pixels a class has decides how many are replayed.
        let (features, targets) = ([&self.features.source, &self.features.target][view], self.targets.get(view)?);
        let rows = unit(&pixel_rows(&features.detach())?, 1, NORMALIZE_EPSILON)?;
        let logits = prototype_logits(&rows, &self.prototypes.get(view)?, config.temperature)?;
        let own = logits.gather(&targets.unsqueeze(1)?, 1)?.squeeze(1)?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
        let targets: Vec<usize> = targets.to_vec1::<u32>()?.into_iter().map(|class| class as usize).collect();
        let samples = sample_pixels(&targets, &own, Some(fraction), sampler, scope)?;
        let Some(weights) = pixel_weights(&samples, pixels, config.small_classes) else { return Ok(None) };
        let weights = Tensor::from_vec(weights, pixels, features.device())?.to_dtype(features.dtype())?;
        Ok(Some(PixelWeights::Each(weights)))
    }
}

fn across_views(view: usize, prototypes_cross: bool) -> ContrastTerm {
    let other = 1 - view;
    let (prototypes, labels) = if prototypes_cross { (other, view) } else { (view, other) };
    ContrastTerm { prototypes, labels, negatives: Negatives::All, weights: PixelWeights::Uniform }
}
