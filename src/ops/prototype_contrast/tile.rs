//! What is done with a tile of pixels once the products are there, compiled for the vectors at hand.

use pulp::{Simd, WithSimd};

use super::cpu::Weights;
use super::lanes::{LANES, Logits};
use super::terms::{Gradients, Losses};
use super::{NORMALIZE_EPSILON, Plan};
use crate::ops::kernel::Real;

/// Pixels of a tile: their logits and features stay in the cache of a core.
pub(super) const TILE: usize = 256;

/// Features of a tile: channel `d` of pixel `i` is `features[d * stride + i]`.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a, T> {
    pub(super) features: &'a [T],
    pub(super) dim: usize,
    pub(super) stride: usize,
    pub(super) width: usize,
}

impl<T: Real> Pixels<'_, T> {
    /// `1 / max(norm, ε)`, and 0 instead where the norm is below ε: the derivative's factor.
    #[inline(always)]
    fn inverse_norms(&self) -> ([T; TILE], [T; TILE]) {
        let mut squares = [T::zero(); TILE];
        for channel in self.features.chunks(self.stride).take(self.dim) {
            for (square, &x) in squares[..self.width].iter_mut().zip(channel) {
                *square += x * x;
            }
        }
        let (mut inverse, mut slope) = (squares, squares);
        let least = T::from_f64(NORMALIZE_EPSILON);
        for i in 0..TILE {
            let norm = squares[i].sqrt();
            inverse[i] = T::one() / if norm < least { least } else { norm };
            slope[i] = if norm < least { T::zero() } else { inverse[i] };
        }
        (inverse, slope)
    }
}

/// `logits *= inverse norm / temperature`.
#[inline(always)]
fn scale<T: Real>(plan: &Plan, logits: &mut [T], inverse: &[T; TILE]) {
    let divisor = T::from_f64(plan.temperature);
    let mut factor = *inverse;
    for factor in &mut factor {
        *factor /= divisor;
    }
    for row in logits.chunks_mut(TILE) {
        for (logit, &factor) in row.iter_mut().zip(&factor) {
            *logit *= factor;
        }
    }
}

/// Labels of [`LANES`] pixels in every row, 0 beyond the tile; `labels` begins with the tile's first pixel.
#[inline(always)]
fn lane_labels(plan: &Plan, labels: &[u32], at: usize, width: usize, row: usize) -> [u32; LANES] {
    let labels = &labels[row * plan.pixels..];
    std::array::from_fn(|lane| if at + lane < width { labels[at + lane] } else { 0 })
}

pub(super) struct Forward<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) pixels: Pixels<'a, T>,
    pub(super) labels: &'a [u32],
    pub(super) logits: &'a mut [T],
    pub(super) losses: &'a mut [T],
    pub(super) scratch: &'a mut Losses<T>,
}

impl<T: Real> WithSimd for Forward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { plan, pixels, labels, logits, losses, scratch } = self;
        let (inverse, _) = pixels.inverse_norms();
        scale(plan, logits, &inverse);
        for at in (0..pixels.width).step_by(LANES) {
            let lanes = Logits { plan, rows: &logits[at..], stride: TILE };
            let of_row = |row: usize| lane_labels(plan, labels, at, pixels.width, row);
            scratch.run(lanes, of_row, &mut losses[at..]);
        }
    }
}

pub(super) struct Backward<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) pixels: Pixels<'a, T>,
    pub(super) labels: &'a [u32],
    pub(super) first: usize,
    pub(super) logits: &'a mut [T],
    pub(super) weights: &'a [Weights<T>],
    pub(super) gradient: &'a mut [T],
    /// What of the features is to be taken off the gradient.
    pub(super) along: &'a mut [T; TILE],
    pub(super) scratch: &'a mut Gradients<T>,
}

impl<T: Real> WithSimd for Backward<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { plan, pixels, labels, first, logits, weights, gradient, along, scratch } = self;
        let (inverse, slope) = pixels.inverse_norms();
        scale(plan, logits, &inverse);
        let divisor = T::from_f64(plan.temperature);
        for at in (0..pixels.width).step_by(LANES) {
            let lanes = Logits { plan, rows: &logits[at..], stride: TILE };
            let of_row = |row: usize| lane_labels(plan, labels, at, pixels.width, row);
            let of_term = |term: usize| -> [T; LANES] {
                let inside = |lane: usize| at + lane < pixels.width;
                match &weights[term] {
                    Weights::Same(weight) => std::array::from_fn(|lane| if inside(lane) { *weight } else { T::zero() }),
                    Weights::Each(weights) => {
                        std::array::from_fn(|lane| if inside(lane) { weights[first + at + lane] } else { T::zero() })
                    }
                }
            };
            let gradient = &mut gradient[at..];
            let dot = scratch.run(lanes, of_row, of_term, gradient);
            for lane in 0..LANES {
                along[at + lane] = dot[lane] * inverse[at + lane] * slope[at + lane];
            }
            for row in gradient.chunks_mut(TILE) {
                for lane in 0..LANES {
                    row[lane] *= inverse[at + lane] / divisor;
                }
            }
        }
    }
}

/// `result -= features * along`.
pub(super) struct Project<'a, T> {
    pub(super) pixels: Pixels<'a, T>,
    pub(super) along: &'a [T; TILE],
    pub(super) result: &'a mut [T],
}

impl<T: Real> WithSimd for Project<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { pixels, along, result } = self;
        let rows = result.chunks_mut(pixels.stride).zip(pixels.features.chunks(pixels.stride)).take(pixels.dim);
        for (result, features) in rows {
            for ((result, &x), &along) in result.iter_mut().zip(features).zip(&along[..pixels.width]) {
                *result -= x * along;
            }
        }
    }
}
