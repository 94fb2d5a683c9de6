//! What is done to the input on its way in, and to the result on its way out.

use pulp::Simd;

use crate::ops::kernel::Real;

/// A scale and a shift for each map of the input, rectified.
#[derive(Clone, Copy)]
pub(super) struct Before<'a, T> {
    /// One for each image and channel.
    pub(super) scale: &'a [T],
    pub(super) shift: &'a [T],
}

/// The same for one map.
#[derive(Clone, Copy)]
pub(super) struct BeforeMap<T> {
    scale: T,
    shift: T,
}

impl<T: Real> Before<'_, T> {
    #[inline(always)]
    pub(super) fn of_map(&self, map: usize) -> BeforeMap<T> {
        BeforeMap { scale: self.scale[map], shift: self.shift[map] }
    }
}

impl<T: Real> BeforeMap<T> {
    /// NaN passes.
    #[inline(always)]
    pub(super) fn apply(&self, value: T) -> T {
        let value = value * self.scale + self.shift;
        if value < T::zero() { T::zero() } else { value }
    }
}

/// The last step of a convolution, on its sums.
#[derive(Clone, Copy)]
pub(super) enum Finish<'a, T> {
    /// Nothing.
    Keep,
    /// Adds other maps.
    Add(&'a [T]),
    /// Backward through what [`Before`] does to these values: times the scale where the result was positive.
    Gate { values: &'a [T], before: Before<'a, T> },
}

impl<T: Real> Finish<'_, T> {
    /// Whether where the sum is 0 the result is 0.
    pub(super) fn keeps_zero(&self) -> bool {
        !matches!(self, Self::Add(_))
    }

    /// Writes the sums of neighbours in a map of `plane` positions, `step` apart; `start` is the place of the first in the
    /// whole result.
    pub(super) fn write(&self, plane: usize, start: usize, sums: &[T], results: &mut [T], step: usize) {
        let results = results.iter_mut().step_by(step).zip(sums);
        match *self {
            Self::Keep => results.for_each(|(result, &sum)| *result = sum),
            Self::Add(added) => {
                let added = added[start..].iter().step_by(step);
                results.zip(added).for_each(|((result, &sum), &added)| *result = sum + added);
            }
            Self::Gate { values, before } => {
                let BeforeMap { scale, shift } = before.of_map(start / plane);
                let values = values[start..].iter().step_by(step);
                results.zip(values).for_each(|((result, &sum), &value)| {
                    *result = if value * scale + shift <= T::zero() { T::zero() } else { sum * scale };
                });
            }
        }
    }

    /// The same for whole vectors of adjacent results.
    #[inline(always)]
    pub(super) fn write_vectors<S: Simd>(&self, simd: S, plane: usize, start: usize, sums: &[T], results: &mut [T]) {
        let len = results.len();
        let (sums, results) = (T::vectors::<S>(sums), T::vectors_mut::<S>(results));
        match *self {
            Self::Keep => {
                for (result, &sum) in results.iter_mut().zip(sums) {
                    *result = sum;
                }
            }
            Self::Add(added) => {
                let added = T::vectors::<S>(&added[start..start + len]);
                for ((result, &sum), &added) in results.iter_mut().zip(sums).zip(added) {
                    *result = T::plus(simd, sum, added);
                }
            }
            Self::Gate { values, before } => {
                let BeforeMap { scale, shift } = before.of_map(start / plane);
                let (scale, shift) = (T::splat(simd, scale), T::splat(simd, shift));
                let values = T::vectors::<S>(&values[start..start + len]);
                for ((result, &sum), &value) in results.iter_mut().zip(sums).zip(values) {
                    let test = T::plus(simd, T::times(simd, value, scale), shift);
                    *result = T::gate(simd, test, T::times(simd, sum, scale));
                }
            }
        }
    }
}
