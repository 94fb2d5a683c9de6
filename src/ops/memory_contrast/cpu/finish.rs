//! From the sums of all rows to the losses, and to their gradients by the queries.

use rayon::prelude::*;

use super::bank::{Bank, Tile};
use super::stream::{Stream, scales_of_rows};
use super::{MemoryContrastSpec, NORMALIZE_EPSILON, Queries};
use crate::ops::gemm::{Matrix, MatrixMut, product};
use crate::ops::kernel::Real;
use crate::ops::vector;

/// A query's loss for one of its classes, and its derivatives.
pub(super) struct Loss<T> {
    pub(super) value: T,
    /// By the logits of the class, one per written row.
    by_own: Vec<T>,
    /// By the logit of any other row, over its exponential.
    by_other: T,
    /// Exponentials of the logits of the class.
    exponentials: Vec<T>,
}

/// Both losses of every query.
pub(super) fn losses<T: Real>(
    queries: &Queries<'_, T>,
    totals: &Stream<'_, T>,
    counts: &[usize],
    spec: &MemoryContrastSpec,
) -> Vec<[Loss<T>; 2]> {
    let mut logits: Vec<[Vec<T>; 2]> =
        queries.classes.iter().map(|pair| pair.map(|class| vec![T::zero(); counts[class]])).collect();
    for (query, which, slot, values) in &totals.positives {
        logits[*query][*which][*slot..][..values.len()].copy_from_slice(values);
    }
    let clamp = T::from_f64(spec.clamp_min);
    let of_query = |(query, logits): (usize, [Vec<T>; 2])| {
        let is_one = queries.classes[query][0] == queries.classes[query][1];
        let rest = totals.rest[query];
        let others = [1, 0].map(|other| if is_one { rest } else { rest + totals.own[other][query] });
        let [first, second] = logits;
        let top = totals.top[query];
        [loss(first, top, others[0], clamp), loss(second, top, others[1], clamp)]
    };
    logits.into_iter().enumerate().map(of_query).collect()
}

/// `mean_r ln(max(exp(l_r) + others, clamp)) - l_r`; 0 for no row.
fn loss<T: Real>(mut logits: Vec<T>, top: T, others: T, clamp: T) -> Loss<T> {
    let share = T::from_f64(1.0 / logits.len().max(1) as f64);
    logits.iter_mut().for_each(|logit| *logit -= top);
    let mut exponentials = logits.clone();
    vector::exp(&mut exponentials);
    let (mut value, mut by_other) = (T::zero(), T::zero());
    let mut by_own = Vec::with_capacity(logits.len());
    for (&logit, &exponential) in logits.iter().zip(&exponentials) {
        let sum = exponential + others;
        let is_free = clamp <= sum;
        let bounded = if is_free { sum } else { clamp };
        value += (T::from_f64(bounded.to_f64().ln()) - logit) * share;
        let slope = if is_free { share / sum } else { T::zero() };
        by_other += slope;
        by_own.push(exponential * slope - share);
    }
    Loss { value, by_own, by_other, exponentials }
}

/// `(P, 2 + 2 D)`: the losses, then the gradient of each by the query.
pub(super) fn with_gradients<T: Real>(
    queries: &Queries<'_, T>,
    totals: &Stream<'_, T>,
    losses: &[[Loss<T>; 2]],
    tiles: &[Tile],
    bank: Bank<'_, T>,
) -> Vec<T> {
    let Queries { len, dim, classes, .. } = *queries;
    let mut result = vec![T::zero(); len * (2 + 2 * dim)];
    for (query, result) in result.chunks_exact_mut(2 + 2 * dim).enumerate() {
        for which in 0..2 {
            result[which] = losses[query][which].value;
            let by_other = losses[query][which].by_other;
            let pulled = &totals.pulled[query * dim..][..dim];
            let gradient = &mut result[2 + which * dim..][..dim];
            gradient.iter_mut().zip(pulled).for_each(|(gradient, &pulled)| *gradient = by_other * pulled);
        }
    }
    let mut used: Vec<usize> = classes.iter().flatten().copied().collect();
    used.sort_unstable();
    used.dedup();
    let parts: Vec<(Vec<Share<'_, T>>, Vec<T>)> = used
        .par_iter()
        .map(|&class| {
            let shares = shares(classes, losses, class);
            let first = tiles.partition_point(|tile| tile.class < class);
            let last = tiles.partition_point(|tile| tile.class <= class);
            let sums = of_class(&shares, &tiles[first..last], bank, dim);
            (shares, sums)
        })
        .collect();
    for (shares, sums) in parts {
        for (share, sums) in shares.iter().zip(sums.chunks_exact(dim.max(1))) {
            let gradient = &mut result[share.query * (2 + 2 * dim) + 2 + share.which * dim..][..dim];
            gradient.iter_mut().zip(sums).for_each(|(gradient, &sum)| *gradient += sum);
        }
    }
    for (query, result) in result.chunks_exact_mut(2 + 2 * dim).enumerate() {
        for gradient in result[2..].chunks_exact_mut(dim.max(1)) {
            through_unit(queries, query, gradient);
        }
    }
    result
}

/// What a class adds to the gradient of one loss: `factor * weights` of its rows.
struct Share<'a, T> {
    query: usize,
    which: usize,
    weights: &'a [T],
    factor: T,
}

fn shares<'a, T: Real>(classes: &[[usize; 2]], losses: &'a [[Loss<T>; 2]], class: usize) -> Vec<Share<'a, T>> {
    let mut shares = Vec::new();
    for (query, pair) in classes.iter().enumerate() {
        for which in (0..2).filter(|which| pair[*which] == class) {
            let other = 1 - which;
            shares.push(Share { query, which, weights: &losses[query][which].by_own, factor: T::one() });
            if pair[other] != class {
                // To the other loss these rows are like all others.
                let (weights, factor) = (&losses[query][which].exponentials, losses[query][other].by_other);
                shares.push(Share { query, which: other, weights, factor });
            }
        }
    }
    shares
}

/// `(shares, D)`: the sums over the rows of the class, as unit vectors.
fn of_class<T: Real>(shares: &[Share<'_, T>], tiles: &[Tile], bank: Bank<'_, T>, dim: usize) -> Vec<T> {
    let mut sums = vec![T::zero(); shares.len() * dim];
    let (mut scratch, mut scales, mut weights) = (Vec::new(), Vec::new(), Vec::new());
    for tile in tiles {
        let rows = bank.rows(tile, dim, &mut scratch);
        scales_of_rows(rows, dim, tile.len, &mut scales);
        weights.clear();
        for share in shares {
            let of_tile = share.weights[tile.slot..][..tile.len].iter().zip(&scales);
            weights.extend(of_tile.map(|(&weight, &scale)| weight * share.factor * scale));
        }
        let sums = MatrixMut::new(&mut sums, shares.len(), dim, dim);
        let weights = Matrix::new(&weights, shares.len(), tile.len, tile.len);
        product(sums, true, weights, Matrix::new(rows, tile.len, dim, dim));
    }
    sums
}

/// From the gradient by `T` times the unit vector to that by the query: `(g - u (u·g)) / |z|`, or `g / ε` where the length
/// is a constant.
fn through_unit<T: Real>(queries: &Queries<'_, T>, query: usize, gradient: &mut [T]) {
    let dim = queries.dim;
    let unit = &queries.units[query * dim..][..dim];
    let norm = queries.norms[query];
    let is_constant = norm < T::from_f64(NORMALIZE_EPSILON);
    let along = if is_constant { T::zero() } else { vector::dot(unit, gradient) };
    let divisor = super::at_least_epsilon(norm) * queries.temperature;
    gradient.iter_mut().zip(unit).for_each(|(gradient, &unit)| *gradient = (*gradient - unit * along) / divisor);
}
