//! All terms of a few adjacent pixels: their losses, and the gradient of the logits.

use super::Plan;
use super::lanes::{LANES, Lanes, Logits, map, zip};
use super::tile::TILE;
use crate::ops::kernel::Real;

/// Room for the mined negatives of the widest term.
struct Mining<T> {
    // Of each class, its part of the denominator.
    parts: Vec<Lanes<T>>,
    // The most similar prototypes, or all of them in this order.
    best: Vec<Lanes<T>>,
}

impl<T: Real> Mining<T> {
    fn new(plan: &Plan) -> Self {
        let room = |len: usize| vec![[T::zero(); LANES]; len];
        Self { parts: room(plan.classes), best: room(plan.columns.len()) }
    }
}

/// Losses of every term, and the logits of the pixels' own classes.
pub(super) struct Losses<T>(Mining<T>);

impl<T: Real> Losses<T> {
    pub(super) fn new(plan: &Plan) -> Self {
        Self(Mining::new(plan))
    }

    /// `labels` gives those of a row. Term `t` writes its losses to row `t` of `losses`, and the logits of the own classes to
    /// row `terms + t`.
    #[inline(always)]
    pub(super) fn run(&mut self, logits: Logits<'_, T>, labels: impl Fn(usize) -> [u32; LANES], losses: &mut [T]) {
        let plan = logits.plan;
        let best = &mut self.0.best;
        for set in 0..plan.sets {
            let mut known = None;
            for (t, term) in plan.terms.iter().enumerate().filter(|(_, term)| term.prototypes == set) {
                let labels = labels(term.labels);
                let own = logits.own(set, &labels);
                let denominator = match term.ranks() {
                    Some(ranks) => logits.mined_denominator(set, &labels, own, ranks, best),
                    None => {
                        // Not a closure, which vector instructions might not reach.
                        let all = match known {
                            Some(all) => all,
                            None => logits.denominator(set),
                        };
                        known = Some(all);
                        logits.with_own(all, &labels, own)
                    }
                };
                losses[t * TILE..][..LANES].copy_from_slice(&denominator.losses(own));
                losses[(plan.terms.len() + t) * TILE..][..LANES].copy_from_slice(&own);
            }
        }
    }
}

/// Gradient of the weighted sum of all terms by the logits.
pub(super) struct Gradients<T>(Mining<T>);

impl<T: Real> Gradients<T> {
    pub(super) fn new(plan: &Plan) -> Self {
        Self(Mining::new(plan))
    }

    /// Fills every row of `gradient`; `weights` gives those of a term. The result is the inner product with the logits.
    #[inline(always)]
    pub(super) fn run(
        &mut self,
        logits: Logits<'_, T>,
        labels: impl Fn(usize) -> [u32; LANES],
        weights: impl Fn(usize) -> Lanes<T>,
        gradient: &mut [T],
    ) -> Lanes<T> {
        let plan = logits.plan;
        for row in gradient.chunks_mut(TILE) {
            row[..LANES].fill(T::zero());
        }
        for set in 0..plan.sets {
            self.over_all(set, logits, &labels, &weights, gradient);
            self.over_mined(set, logits, &labels, &weights, gradient);
        }
        let mut dot = [T::zero(); LANES];
        for (row, logits) in gradient.chunks(TILE).zip(logits.rows.chunks(TILE)) {
            for lane in 0..LANES {
                dot[lane] += row[lane] * logits[lane];
            }
        }
        dot
    }

    // Terms over all candidates share their exponentials.
    #[inline(always)]
    fn over_all(
        &mut self,
        set: usize,
        logits: Logits<'_, T>,
        labels: &impl Fn(usize) -> [u32; LANES],
        weights: &impl Fn(usize) -> Lanes<T>,
        gradient: &mut [T],
    ) {
        let plan = logits.plan;
        let terms = || {
            let terms = plan.terms.iter().enumerate();
            terms.filter(|(_, term)| term.prototypes == set && term.ranks().is_none())
        };
        if terms().next().is_none() {
            return;
        }
        let all = logits.denominator_with_parts(set, gradient);
        let mut factor = [T::zero(); LANES];
        for (t, term) in terms() {
            let (labels, weights) = (labels(term.labels), weights(t));
            let with = logits.with_own(all, &labels, logits.own(set, &labels));
            let share = with.scale_from(&all);
            for lane in 0..LANES {
                factor[lane] += share[lane] * weights[lane];
            }
        }
        for &class in &plan.columns {
            let row = &mut gradient[(set * plan.classes + class) * TILE..][..LANES];
            for lane in 0..LANES {
                row[lane] *= factor[lane];
            }
        }
        for (t, term) in terms() {
            let (labels, weights) = (labels(term.labels), weights(t));
            let own = logits.own(set, &labels);
            let mut towards = map(weights, |weight| -weight);
            if plan.columns.len() < plan.classes {
                // The own class where it is no candidate.
                let share = logits.with_own(all, &labels, own).share(own);
                for lane in 0..LANES {
                    if !plan.is_allowed[labels[lane] as usize] {
                        towards[lane] += share[lane] * weights[lane];
                    }
                }
            }
            add_to_own(plan, set, &labels, &towards, gradient);
        }
    }

    #[inline(always)]
    fn over_mined(
        &mut self,
        set: usize,
        logits: Logits<'_, T>,
        labels: &impl Fn(usize) -> [u32; LANES],
        weights: &impl Fn(usize) -> Lanes<T>,
        gradient: &mut [T],
    ) {
        let plan = logits.plan;
        let Mining { parts, best } = &mut self.0;
        for (t, term) in plan.terms.iter().enumerate().filter(|(_, term)| term.prototypes == set) {
            let Some(ranks) = term.ranks() else { continue };
            let weights = weights(t);
            // Pixels that were not chosen often lie side by side.
            if weights.iter().all(|weight| *weight == T::zero()) {
                continue;
            }
            let labels = labels(term.labels);
            let own = logits.own(set, &labels);
            let denominator = logits.mined_denominator_with_parts(set, &labels, own, ranks, parts, best);
            let factor = zip(weights, denominator.sum(), |weight, sum| weight / sum);
            for &class in &plan.columns {
                let row = &mut gradient[(set * plan.classes + class) * TILE..][..LANES];
                for lane in 0..LANES {
                    row[lane] += parts[class][lane] * factor[lane];
                }
            }
            let share = denominator.share(own);
            let towards = zip(weights, share, |weight, share| weight * share - weight);
            add_to_own(plan, set, &labels, &towards, gradient);
        }
    }
}

#[inline(always)]
fn add_to_own<T: Real>(plan: &Plan, set: usize, labels: &[u32; LANES], by: &Lanes<T>, gradient: &mut [T]) {
    for lane in 0..LANES {
        gradient[(set * plan.classes + labels[lane] as usize) * TILE + lane] += by[lane];
    }
}
