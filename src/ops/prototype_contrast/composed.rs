//! The contrast out of candle's operations: what the fused one is compared with.

use candle_core::{D, DType, Tensor};

use super::sampling::Members;
use super::{ContrastInputs, ContrastTerm, NORMALIZE_EPSILON, Negatives, PixelWeights, Plan};
use crate::error::Result;
use crate::ops::unit;

/// [`prototype_contrast`](super::prototype_contrast) out of candle's operations, with all similarities in memory at once,
/// and `P x K x K` comparisons where negatives are ranked.
///
/// # Shapes
/// As there.
///
/// # Errors
/// As there.
pub fn composed(features: &Tensor, inputs: &ContrastInputs<'_>, terms: &[ContrastTerm]) -> Result<Tensor> {
    let plan = Plan::new(features, inputs, terms)?;
    let rows = features.permute((0, 2, 3, 1))?.reshape((plan.pixels, ()))?;
    let rows = unit(&rows, 1, NORMALIZE_EPSILON)?; // (P, D)
    let values = terms.iter().map(|term| {
        let prototypes = inputs.prototypes.detach().get(term.prototypes)?.to_dtype(features.dtype())?;
        let logits = (rows.matmul(&prototypes.t()?)? / plan.temperature)?; // (P, K)
        let labels = plan.labels.get(term.labels)?;
        let own = logits.gather(&labels.unsqueeze(1)?, 1)?;
        let counts = counts(&plan, &logits.detach(), &labels, &term.negatives)?.to_dtype(logits.dtype())?;
        let takes_part = counts.gt(0f64)?;
        let top = takes_part.where_cond(&logits.detach(), &(logits.zeros_like()?.detach() - 1e30)?)?;
        let top = top.max_keepdim(D::Minus1)?;
        // Classes without a part may be far above the others, where their exponential is infinite.
        let shifted = logits.broadcast_sub(&top)?;
        let shifted = takes_part.where_cond(&shifted, &shifted.zeros_like()?)?;
        let sum = (shifted.exp()? * counts)?.sum_keepdim(D::Minus1)?;
        let losses = ((sum.log()? + top)? - &own)?.squeeze(1)?;
        let weights = weights(&plan, &labels, &own.detach().squeeze(1)?, &term.weights)?;
        (losses * weights.to_dtype(features.dtype())?)?.sum_all()
    });
    Ok(Tensor::stack(&values.collect::<candle_core::Result<Vec<_>>>()?, 0)?)
}

// How often each class counts in the denominator of each pixel, `(P, K)`.
fn counts(plan: &Plan, logits: &Tensor, labels: &Tensor, negatives: &Negatives) -> candle_core::Result<Tensor> {
    let device = logits.device();
    let classes = Tensor::arange(0u32, plan.classes as u32, device)?;
    let is_own = labels.unsqueeze(1)?.broadcast_eq(&classes.unsqueeze(0)?)?; // (P, K)
    let allowed: Vec<u8> = plan.is_allowed.iter().copied().map(u8::from).collect();
    let allowed = Tensor::from_vec(allowed, (1, plan.classes), device)?;
    let Negatives::Ranked { ranks, own } = negatives else {
        return is_own.broadcast_maximum(&allowed);
    };
    let mut ranked = allowed.broadcast_as(logits.shape())?.contiguous()?;
    if !own {
        ranked = (&ranked - is_own.minimum(&ranked)?)?;
    }
    // `before[p, i, j]`: class j comes before class i.
    let (of, other) = (logits.unsqueeze(2)?, logits.unsqueeze(1)?);
    let lower = classes.unsqueeze(1)?.broadcast_gt(&classes.unsqueeze(0)?)?.unsqueeze(0)?;
    let before = (other.broadcast_gt(&of)? + other.broadcast_eq(&of)?.broadcast_mul(&lower)?)?;
    let rank = before.broadcast_mul(&ranked.unsqueeze(1)?)?.to_dtype(DType::U32)?.sum(2)?;
    let inside = (rank.ge(ranks.start as u32)? * rank.lt(ranks.end as u32)?)?;
    (inside * ranked)? + is_own
}

// `(P)`, float64.
fn weights(plan: &Plan, labels: &Tensor, own: &Tensor, weights: &PixelWeights) -> candle_core::Result<Tensor> {
    let PixelWeights::Classes { half, count_empty } = weights else {
        return match weights {
            PixelWeights::Each(weights) => weights.to_dtype(DType::F64),
            _ => Tensor::full(1.0 / plan.pixels as f64, plan.pixels, labels.device()),
        };
    };
    let labels_here = labels.to_vec1::<u32>()?;
    if labels_here.iter().any(|label| *label as usize >= plan.classes) {
        candle_core::bail!("labels of the pixels: expected classes below {}", plan.classes);
    }
    let members = Members::new(&labels_here, plan.classes);
    let shares = members.shares(half.is_some(), *count_empty);
    let times = match half {
        Some(half) => members.multiplicities(&own.to_dtype(DType::F64)?.to_vec1::<f64>()?, *half),
        None => vec![1.0; plan.pixels],
    };
    let weights: Vec<f64> =
        times.iter().zip(&labels_here).map(|(times, label)| times * shares[*label as usize]).collect();
    Tensor::from_vec(weights, plan.pixels, labels.device())
}
