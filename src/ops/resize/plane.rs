//! A plane at another size, a vector at a time: along the rows first and then between them, or between them first where
//! the result has fewer.

use pulp::{Arch, Simd, WithSimd};

use super::Corners;
use crate::ops::kernel::Real;

/// Bilinear interpolation of planes of one size.
pub(in crate::ops) struct Resizing<T> {
    /// Of the source, and of the result.
    from: (usize, usize),
    to: (usize, usize),
    rows: Vec<Taps<T>>,
    columns: Columns<T>,
}

impl<T: Real> Resizing<T> {
    pub(in crate::ops) fn new(from: (usize, usize), to: (usize, usize), corners: Corners) -> Self {
        let columns = Columns::new(&taps(from.1, to.1, corners));
        Self { from, to, rows: taps(from.0, to.0, corners), columns }
    }

    /// Every element of `y` is written. `room` is that of the plane before, if any.
    pub(in crate::ops) fn plane(&self, x: &[T], room: &mut Vec<T>, y: &mut [T]) {
        if self.to.0 < self.from.0 {
            let is_copied = self.from.0 <= MOST_SKIPPED * self.to.0;
            room.resize(self.from.1 + if is_copied { x.len() } else { 0 }, T::zero());
            let (line, copy) = room.split_at_mut(self.from.1);
            Arch::new().dispatch(Fewer { of: self, x, line, copy, y });
        } else {
            room.resize(2 * self.to.1, T::zero());
            Arch::new().dispatch(More { of: self, x, room, y });
        }
    }

    /// The transposed map, from the gradient of `y` to that of `x`, of which every element is written.
    pub(in crate::ops) fn gradient(&self, grad: &[T], room: &mut Vec<T>, result: &mut [T]) {
        room.resize(self.from.1, T::zero());
        Arch::new().dispatch(Gradient { of: self, grad, line: room, result });
    }
}

/// Rows of the source for one of the result up to which it is read as a whole: what skips rows waits for each of them.
const MOST_SKIPPED: usize = 4;

/// A plane of fewer rows than its source.
struct Fewer<'a, T> {
    of: &'a Resizing<T>,
    x: &'a [T],
    line: &'a mut [T],
    /// Room for the source, unless most of it is not needed.
    copy: &'a mut [T],
    y: &'a mut [T],
}

impl<T: Real> WithSimd for Fewer<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of, x, line, copy, y } = self;
        let w = of.from.1;
        let x = if copy.is_empty() {
            x
        } else {
            copy.copy_from_slice(x);
            copy
        };
        for (y, row) in y.chunks_exact_mut(of.to.1).zip(&of.rows) {
            row.lines_between(&x[row.low * w..][..w], &x[row.high * w..][..w], line);
            of.columns.read(line, y);
        }
    }
}

/// A plane of as many rows, or more.
struct More<'a, T> {
    of: &'a Resizing<T>,
    x: &'a [T],
    /// Two rows of the source, interpolated along themselves.
    room: &'a mut [T],
    y: &'a mut [T],
}

impl<T: Real> WithSimd for More<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of, x, room, y } = self;
        let ((_, w), (_, width)) = (of.from, of.to);
        let (mut upper, mut lower) = room.split_at_mut(width);
        // The next row lies between the same two of the source, or one of them.
        let (mut above, mut below) = (usize::MAX, usize::MAX);
        for (y, row) in y.chunks_exact_mut(width).zip(&of.rows) {
            if above != row.low && below == row.low {
                std::mem::swap(&mut above, &mut below);
                std::mem::swap(&mut upper, &mut lower);
            }
            for (line, known, at) in [(&mut *upper, &mut above, row.low), (&mut *lower, &mut below, row.high)] {
                if *known != at {
                    of.columns.read(&x[at * w..][..w], line);
                    *known = at;
                }
            }
            row.lines_between(upper, lower, y);
        }
    }
}

struct Gradient<'a, T> {
    of: &'a Resizing<T>,
    grad: &'a [T],
    line: &'a mut [T],
    result: &'a mut [T],
}

impl<T: Real> WithSimd for Gradient<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { of, grad, line, result } = self;
        let w = of.from.1;
        result.fill(T::zero());
        for (grad, row) in grad.chunks_exact(of.to.1).zip(&of.rows) {
            line.fill(T::zero());
            of.columns.add(grad, line);
            for (at, weight) in [(row.low, row.low_weight), (row.high, row.high_weight)] {
                for (result, &value) in result[at * w..][..w].iter_mut().zip(line.iter()) {
                    *result += value * weight;
                }
            }
        }
    }
}

/// The two source positions of an output position, along one axis.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Taps<T> {
    pub(in crate::ops) low: usize,
    pub(in crate::ops) high: usize,
    pub(in crate::ops) low_weight: T,
    pub(in crate::ops) high_weight: T,
}

impl<T: Real> Taps<T> {
    #[inline(always)]
    pub(in crate::ops) fn between(&self, low: T, high: T) -> T {
        self.low_weight * low + self.high_weight * high
    }

    #[inline(always)]
    fn lines_between(&self, low: &[T], high: &[T], result: &mut [T]) {
        for ((result, &low), &high) in result.iter_mut().zip(low).zip(high) {
            *result = self.between(low, high);
        }
    }

    pub(in crate::ops) fn of(&self, line: &[T]) -> T {
        self.between(line[self.low], line[self.high])
    }

    pub(in crate::ops) fn add(&self, line: &mut [T], value: T) {
        line[self.low] += value * self.low_weight;
        line[self.high] += value * self.high_weight;
    }
}

/// The taps along a row.
struct Columns<T>(Vec<([u32; 2], [T; 2])>);

impl<T: Real> Columns<T> {
    fn new(taps: &[Taps<T>]) -> Self {
        let packed = |tap: &Taps<T>| ([tap.low as u32, tap.high as u32], [tap.low_weight, tap.high_weight]);
        Self(taps.iter().map(packed).collect())
    }

    #[inline(always)]
    fn read(&self, source: &[T], line: &mut [T]) {
        for (value, ([low, high], [low_weight, high_weight])) in line.iter_mut().zip(&self.0) {
            *value = *low_weight * source[*low as usize] + *high_weight * source[*high as usize];
        }
    }

    #[inline(always)]
    fn add(&self, grad: &[T], line: &mut [T]) {
        for (&grad, ([low, high], [low_weight, high_weight])) in grad.iter().zip(&self.0) {
            line[*low as usize] += grad * *low_weight;
            line[*high as usize] += grad * *high_weight;
        }
    }
}

/// From an output position with aligned corners to the next, in the source.
pub(in crate::ops) fn step(input: usize, output: usize) -> f64 {
    if output > 1 { (input - 1) as f64 / (output - 1) as f64 } else { 0.0 }
}

/// Positions are computed in float64 whatever the type of the map, in the order of PyTorch's operations.
pub(in crate::ops) fn taps<T: Real>(input: usize, output: usize, corners: Corners) -> Vec<Taps<T>> {
    let position = |i: usize| match corners {
        Corners::Aligned => step(input, output) * i as f64,
        Corners::HalfPixel => (input as f64 / output as f64 * (i as f64 + 0.5) - 0.5).max(0.0),
    };
    let tap = |i: usize| {
        let position = position(i);
        let low = (position as usize).min(input - 1);
        let high_weight = (position - low as f64).min(1.0);
        Taps {
            low,
            high: (low + 1).min(input - 1),
            low_weight: T::from_f64(1.0 - high_weight),
            high_weight: T::from_f64(high_weight),
        }
    };
    (0..output).map(tap).collect()
}
