//! The pixel level: every pixel against prototypes of this step and of the past.

use candle_core::Tensor;

use super::roi::prototypes;
use super::{AbsentClasses, BackgroundPrototype, Level, PixelConfig};
use crate::contrast::{cross_entropy, cross_entropy_among, prototype_logits};
use crate::error::Result;
use crate::label::ImageLabels;
use crate::memory::PrototypeBank;
use crate::objective::LossTerms;
use crate::ops::unit;
use crate::prototype::{class_prototypes, pixel_rows};
use crate::seed::background;
use crate::view::Pair;

const NORMALIZE_EPSILON: f64 = 1e-12;

/// With `f` a unit pixel feature, `t` its label, `P_v` the prototypes of view `v` in this step, `M_v` its bank,
/// `v'` the other view and `X(f, P, t) = -ln [exp(f·P_t / T) / Σ_c exp(f·P_c / T)]`, averaged over all pixels:
///
/// * `cross_prototype = mean_v X(f_v, P_v', t_v)`, `cross_label = mean_v X(f_v, P_v, t_v')`;
/// * `intra = mean_v X(f_v, P_v, t_v)`, `memory = mean_v X(f_v, M_v, t_v)`.
///
/// The prototypes carry no gradient. After the step, each bank moves towards its view's prototypes.
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
    let present = present_classes(image_labels, config, features.source.device())?;
    let fresh = features.as_ref().zip(scores.as_ref()).try_map(|(f, s)| step_prototypes(f, s, image_labels, config))?;
    let pixels = features.as_ref().try_map(|f| pixel_rows(f).and_then(|rows| unit(&rows, 1, NORMALIZE_EPSILON)))?;
    let targets = labels.as_ref().try_map(Tensor::flatten_all)?;
    let contrast = |prototypes: Pair<&Tensor>, targets: Pair<&Tensor>| -> Result<Tensor> {
        let triples = pixels.as_ref().zip(prototypes).zip(targets);
        let losses = triples.try_map(|((pixels, prototypes), targets)| {
            let logits = prototype_logits(pixels, prototypes, config.temperature)?;
            let losses = match &present {
                None => cross_entropy(&logits, targets)?,
                Some(present) => cross_entropy_among(&logits, targets, present)?,
            };
            Ok::<_, crate::Error>(losses.mean_all()?)
        })?;
        losses.mean()
    };
    let mut terms = LossTerms::default();
    if config.cross_prototype > 0.0 {
        let value = contrast(fresh.as_ref().swapped(), targets.as_ref())?;
        terms.push("cross_prototype", config.weight * config.cross_prototype, value)?;
    }
    if config.cross_label > 0.0 {
        let value = contrast(fresh.as_ref(), targets.as_ref().swapped())?;
        terms.push("cross_label", config.weight * config.cross_label, value)?;
    }
    if config.intra > 0.0 {
        terms.push("intra", config.weight * config.intra, contrast(fresh.as_ref(), targets.as_ref())?)?;
    }
    if config.memory > 0.0 {
        let rows = banks.as_ref().try_map(|bank| prototypes(bank, config.bank_rows))?;
        terms.push("memory", config.weight * config.memory, contrast(rows.as_ref(), targets.as_ref())?)?;
    }
    let banks = banks.as_ref().zip(fresh.as_ref()).try_map(|(bank, fresh)| {
        let moved = bank.moved(fresh, config.momentum)?;
        let Some(present) = &present else { return Ok::<_, crate::Error>(moved) };
        let moves = present.unsqueeze(1)?.broadcast_as(fresh.shape())?;
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

// `(num_classes)`, 1 for the batch's classes and the background; nothing when all classes take part.
fn present_classes(labels: &ImageLabels, config: &PixelConfig, device: &candle_core::Device) -> Result<Option<Tensor>> {
    if config.absent_classes == AbsentClasses::Included {
        return Ok(None);
    }
    let layout = labels.layout();
    let mut present = vec![0u8; layout.num_classes()];
    for class in labels.in_batch().into_iter().chain([layout.background()]) {
        present[class] = 1;
    }
    Ok(Some(Tensor::from_vec(present, layout.num_classes(), device)?))
}
