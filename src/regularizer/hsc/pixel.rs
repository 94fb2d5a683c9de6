//! The pixel level: every pixel against prototypes of this step and of the past.

use candle_core::Tensor;

use super::roi::prototypes;
use super::{AbsentClasses, BackgroundPrototype, Level, PixelConfig};
use crate::error::Result;
use crate::label::ImageLabels;
use crate::memory::PrototypeBank;
use crate::objective::LossTerms;
use crate::ops::{ContrastInputs, ContrastTerm, Negatives, PixelWeights, prototype_contrast};
use crate::prototype::class_prototypes;
use crate::seed::background;
use crate::view::Pair;

/// With `f` a unit pixel feature, `t` its label, `P_v` the prototypes of view `v` in this step, `M_v` its bank,
/// `v'` the other view and `X(f, P, t) = -ln [exp(f·P_t / T) / Σ_c exp(f·P_c / T)]`, averaged over all pixels:
///
/// * `cross_prototype = mean_v X(f_v, P_v', t_v)`, `cross_label = mean_v X(f_v, P_v, t_v')`;
/// * `intra = mean_v X(f_v, P_v, t_v)`, `memory = mean_v X(f_v, M_v, t_v)`.
///
/// The prototypes carry no gradient; [`prototype_contrast`] computes all terms of a view at once. After the step, each bank moves towards its view's prototypes.
///
/// # Shapes
/// `features (N, d, h, w)`, `scores (N, num_classes, h, w)`, `labels (N, h, w)` of `u32`, banks `(num_classes, d)`.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// PSC of HSC (IJCAI 2023), as released.
pub fn pixel_level(
    features: &Pair<Tensor>,
    scores: &Pair<Tensor>,
    labels: &Pair<Tensor>,
    image_labels: &ImageLabels,
    banks: &Pair<PrototypeBank>,
    config: &PixelConfig,
) -> Result<Level> {
    let fresh = features.as_ref().zip(scores.as_ref()).try_map(|(f, s)| step_prototypes(f, s, image_labels, config))?;
    let rows = banks.as_ref().try_map(|bank| prototypes(bank, config.bank_rows))?;
    let targets = labels.as_ref().try_map(Tensor::flatten_all)?;
    let targets = Tensor::stack(&[&targets.source, &targets.target], 0)?;
    let present = present_classes(image_labels, config);
    let wanted = wanted(config);
    // Source, target and memory, in the order of `wanted`.
    let views = features.as_ref().zip(rows.as_ref()).zip(Pair::new(0, 1));
    let values = views.try_map(|((features, memory), view)| {
        let prototypes = Tensor::stack(&[&fresh.source, &fresh.target, memory], 0)?;
        let inputs = ContrastInputs {
            prototypes: &prototypes,
            labels: &targets,
            allowed: present.as_deref(),
            temperature: config.temperature,
        };
        let terms: Vec<ContrastTerm> = wanted.iter().map(|(.., kind)| kind.of_view(view)).collect();
        if terms.is_empty() { Ok(None) } else { prototype_contrast(features, &inputs, &terms).map(Some) }
    })?;
    let mut terms = LossTerms::default();
    if let Pair { source: Some(source), target: Some(target) } = values {
        let mean = Pair::new(source, target).mean()?;
        for (term, (name, factor, _)) in wanted.iter().enumerate() {
            terms.push(*name, config.weight * factor, mean.get(term)?)?;
        }
    }
    let banks = banks.as_ref().zip(fresh.as_ref()).try_map(|(bank, fresh)| {
        let moved = bank.moved(fresh, config.momentum)?;
        let Some(present) = &present else { return Ok::<_, crate::Error>(moved) };
        let moves: Vec<u8> = present.iter().copied().map(u8::from).collect();
        let moves = Tensor::new(moves, fresh.device())?.unsqueeze(1)?.broadcast_as(fresh.shape())?;
        Ok(PrototypeBank::from_rows(&moves.where_cond(moved.rows(), bank.rows())?))
    })?;
    Ok(Level { terms, banks })
}

/// Prototypes of one view in this step, `(num_classes, d)`: unit vectors, no gradient.
///
/// # Errors
/// When the shapes differ.
pub fn step_prototypes(
    features: &Tensor,
    scores: &Tensor,
    image_labels: &ImageLabels,
    config: &PixelConfig,
) -> Result<Tensor> {
    let (_, _, h, w) = features.dims4()?;
    let k = (h * w / config.pixels_per_prototype_divisor).max(1);
    let scores = match config.background_prototype {
        BackgroundPrototype::ConstantScore => scores.clone(),
        BackgroundPrototype::OneMinusMax => {
            // Among the image's own classes: every other channel is stretched to 1 somewhere as well.
            let present = image_labels.with_background()?.to_dtype(scores.dtype())?;
            let complement = background::complement(&scores.broadcast_mul(&present)?)?;
            let foreground = image_labels.layout().num_foreground();
            Tensor::cat(&[scores.narrow(1, 0, foreground)?, complement.narrow(1, foreground, 1)?], 1)?
        }
    };
    class_prototypes(&scores, features, k)
}

// Whether each class is one of the batch's or the background; nothing when all classes take part.
fn present_classes(labels: &ImageLabels, config: &PixelConfig) -> Option<Vec<bool>> {
    if config.absent_classes == AbsentClasses::Included {
        return None;
    }
    let layout = labels.layout();
    let mut present = vec![false; layout.num_classes()];
    for class in labels.in_batch().into_iter().chain([layout.background()]) {
        present[class] = true;
    }
    Some(present)
}

#[derive(Clone, Copy)]
enum Kind {
    CrossPrototype,
    CrossLabel,
    Intra,
    Memory,
}

impl Kind {
    // Of view 0, the source, or 1.
    fn of_view(self, view: usize) -> ContrastTerm {
        let other = 1 - view;
        let memory = 2;
        let (prototypes, labels) = match self {
            Self::CrossPrototype => (other, view),
            Self::CrossLabel => (view, other),
            Self::Intra => (view, view),
            Self::Memory => (memory, view),
        };
        ContrastTerm { prototypes, labels, negatives: Negatives::All, weights: PixelWeights::Uniform }
    }
}

// Name, factor and kind of the terms that are asked for.
fn wanted(config: &PixelConfig) -> Vec<(&'static str, f64, Kind)> {
    let all = [
        ("cross_prototype", config.cross_prototype, Kind::CrossPrototype),
        ("cross_label", config.cross_label, Kind::CrossLabel),
        ("intra", config.intra, Kind::Intra),
        ("memory", config.memory, Kind::Memory),
    ];
    all.into_iter().filter(|(_, factor, _)| *factor > 0.0).collect()
}
