//! One stream: some tiles, one after the other, with the largest logit so far.

use pulp::{Arch, Simd, WithSimd};

use super::bank::Tile;
use super::{Queries, at_least_epsilon};
use crate::ops::gemm::{Matrix, MatrixMut, product};
use crate::ops::kernel::Real;
use crate::ops::vector;

/// What the tiles so far come to, all exponentials relative to `top`.
pub(super) struct Stream<'a, T> {
    queries: &'a Queries<'a, T>,
    with_gradient: bool,
    /// `(P)`: the largest logit.
    pub(super) top: Vec<T>,
    /// `(P)`: sums of exponentials over rows of classes that are none of the query's, of its first and of its second.
    pub(super) rest: Vec<T>,
    pub(super) own: [Vec<T>; 2],
    /// `(P, D)`: `Σ exp(l) M / |M|` over the rows that `rest` counts. Empty without a gradient.
    pub(super) pulled: Vec<T>,
    /// Logits, as they are, of the rows of a query's own classes: query, which of its two, first slot, values.
    pub(super) positives: Vec<(usize, usize, usize, Vec<T>)>,
    scratch: Scratch<T>,
}

/// Memory for one tile.
struct Scratch<T> {
    /// `(rows, P)`
    logits: Vec<T>,
    /// `(rows)`: one over the length.
    scales: Vec<T>,
    /// `(P)`
    columns: Vec<T>,
}

impl<'a, T: Real> Stream<'a, T> {
    pub(super) fn new(queries: &'a Queries<'a, T>, with_gradient: bool) -> Self {
        let zeros = || vec![T::zero(); queries.len];
        Self {
            queries,
            with_gradient,
            top: vec![T::from_f64(f64::NEG_INFINITY); queries.len],
            rest: zeros(),
            own: [zeros(), zeros()],
            pulled: vec![T::zero(); if with_gradient { queries.len * queries.dim } else { 0 }],
            positives: Vec::new(),
            scratch: Scratch { logits: Vec::new(), scales: Vec::new(), columns: zeros() },
        }
    }

    /// Takes a tile in; `rows (tile.len, D)`.
    pub(super) fn pass(&mut self, tile: &Tile, rows: &[T]) {
        let Queries { len, dim, classes, .. } = *self.queries;
        let mut scratch = std::mem::replace(
            &mut self.scratch,
            Scratch { logits: Vec::new(), scales: Vec::new(), columns: Vec::new() },
        );
        let Scratch { logits, scales, columns } = &mut scratch;
        logits.resize(tile.len * len, T::zero());
        scales_of_rows(rows, dim, tile.len, scales);
        multiply(self.queries, rows, logits);
        columns.copy_from_slice(&self.top);
        Arch::new().dispatch(Logits { logits, scales, temperature: self.queries.temperature, top: columns });
        for (query, pair) in classes.iter().enumerate() {
            for which in (0..2).filter(|which| pair[*which] == tile.class) {
                let column = logits.iter().skip(query).step_by(len).copied().collect();
                self.positives.push((query, which, tile.slot, column));
            }
        }
        self.raise(columns);
        Arch::new().dispatch(Subtract { logits, top: &self.top });
        vector::exp(logits);
        Arch::new().dispatch(Sums { weights: logits, sums: columns });
        for (query, pair) in classes.iter().enumerate() {
            let is_own = pair.map(|class| class == tile.class);
            for (own, _) in self.own.iter_mut().zip(is_own).filter(|(_, is_own)| *is_own) {
                own[query] += columns[query];
            }
            let is_rest = is_own == [false; 2];
            if is_rest {
                self.rest[query] += columns[query];
            }
            columns[query] = if is_rest { T::one() } else { T::zero() };
        }
        if self.with_gradient {
            Arch::new().dispatch(Weigh { weights: logits, scales, factors: columns });
            let weights = Matrix::new(logits, tile.len, len, len).transposed();
            let pulled = MatrixMut::new(&mut self.pulled, len, dim, dim);
            product(pulled, true, weights, Matrix::new(rows, tile.len, dim, dim));
        }
        self.scratch = scratch;
    }

    /// Makes everything relative to larger logits.
    fn raise(&mut self, top: &[T]) {
        let dim = self.queries.dim;
        for (query, &new) in top.iter().enumerate() {
            let old = std::mem::replace(&mut self.top[query], new);
            // Before the first tile there is nothing, and the difference is infinite.
            if old < new {
                let factor = (old - new).exp();
                self.rest[query] *= factor;
                self.own.iter_mut().for_each(|own| own[query] *= factor);
                if self.with_gradient {
                    self.pulled[query * dim..][..dim].iter_mut().for_each(|x| *x *= factor);
                }
            }
        }
    }

    /// All streams as one, in their order.
    pub(super) fn joined(queries: &'a Queries<'a, T>, with_gradient: bool, parts: Vec<Self>) -> Self {
        let mut all = Self::new(queries, with_gradient);
        let dim = queries.dim;
        for query in 0..queries.len {
            let tops = parts.iter().map(|part| part.top[query]);
            let top = tops.fold(T::from_f64(f64::NEG_INFINITY), |top, other| if top < other { other } else { top });
            all.top[query] = top;
            for part in &parts {
                let factor = (part.top[query] - top).exp();
                all.rest[query] += part.rest[query] * factor;
                for (all, part) in all.own.iter_mut().zip(&part.own) {
                    all[query] += part[query] * factor;
                }
                if with_gradient {
                    let pulled = all.pulled[query * dim..][..dim].iter_mut().zip(&part.pulled[query * dim..][..dim]);
                    pulled.for_each(|(all, &part)| *all += part * factor);
                }
            }
        }
        all.positives = parts.into_iter().flat_map(|part| part.positives).collect();
        all
    }
}

/// One over the length of each row.
pub(super) fn scales_of_rows<T: Real>(rows: &[T], dim: usize, len: usize, scales: &mut Vec<T>) {
    scales.clear();
    scales.resize(len, T::zero());
    if dim > 0 {
        vector::squares(rows, dim, scales);
    }
    scales.iter_mut().for_each(|scale| *scale = T::one() / at_least_epsilon(scale.sqrt()));
}

/// `rows queries^T`: `(rows, P)`.
fn multiply<T: Real>(queries: &Queries<'_, T>, rows: &[T], products: &mut [T]) {
    let Queries { len, dim, .. } = *queries;
    let count = products.len() / len;
    let units = Matrix::new(&queries.units, len, dim, dim).transposed();
    let products = MatrixMut::new(products, count, len, len);
    product(products, false, Matrix::new(rows, count, dim, dim), units);
}

/// Products to logits, and the largest of each query.
struct Logits<'a, T> {
    logits: &'a mut [T],
    scales: &'a [T],
    temperature: T,
    top: &'a mut [T],
}

impl<T: Real> WithSimd for Logits<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, &scale) in self.logits.chunks_exact_mut(self.top.len()).zip(self.scales) {
            let scale = scale / self.temperature;
            for (logit, top) in row.iter_mut().zip(self.top.iter_mut()) {
                *logit *= scale;
                *top = if *top < *logit { *logit } else { *top };
            }
        }
    }
}

struct Subtract<'a, T> {
    logits: &'a mut [T],
    top: &'a [T],
}

impl<T: Real> WithSimd for Subtract<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for row in self.logits.chunks_exact_mut(self.top.len()) {
            for (logit, &top) in row.iter_mut().zip(self.top) {
                *logit -= top;
            }
        }
    }
}

/// Sums over the rows.
struct Sums<'a, T> {
    weights: &'a [T],
    sums: &'a mut [T],
}

impl<T: Real> WithSimd for Sums<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.sums.iter_mut().for_each(|sum| *sum = T::zero());
        for row in self.weights.chunks_exact(self.sums.len()) {
            for (sum, &weight) in self.sums.iter_mut().zip(row) {
                *sum += weight;
            }
        }
    }
}

/// Rows by their scales, columns by their factors.
struct Weigh<'a, T> {
    weights: &'a mut [T],
    scales: &'a [T],
    factors: &'a [T],
}

impl<T: Real> WithSimd for Weigh<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (row, &scale) in self.weights.chunks_exact_mut(self.factors.len()).zip(self.scales) {
            for (weight, &factor) in row.iter_mut().zip(self.factors) {
                *weight *= scale * factor;
            }
        }
    }
}
