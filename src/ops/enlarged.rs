//! CPU code of planes that are looked at larger than they are stored: rows of the enlarged plane are made when they are
//! needed, and none of it is kept.
//!
//! Bilinear, aligned corners, in the order of operations of [`super::resize_bilinear`], whose bits come out where the
//! plane does not lose rows; there that one interpolates between rows first, and the last digit may differ.

use super::kernel::Real;
use super::resize::Taps;

/// Partial sums and extrema a loop keeps side by side, so that it becomes vector instructions.
const LANES: usize = 16;

/// A plane resized along its rows only; every row of the enlarged plane lies between two of these.
pub(super) struct Stretched<T> {
    values: Vec<T>,
    width: usize,
}

impl<T: Real> Stretched<T> {
    /// Rows of `width` elements, resized to one element for each of `columns`.
    pub(super) fn new(plane: &[T], width: usize, columns: &[Taps<T>]) -> Self {
        let mut values = Vec::with_capacity(plane.len() / width * columns.len());
        for line in plane.chunks_exact(width) {
            values.extend(columns.iter().map(|column| column.of(line)));
        }
        Self { values, width: columns.len() }
    }

    pub(super) fn zeros(height: usize, width: usize) -> Self {
        Self { values: vec![T::zero(); height * width], width }
    }

    /// Only some of the columns, one for each of `positions`.
    pub(super) fn pick(&self, positions: impl Iterator<Item = usize> + Clone, width: usize) -> Self {
        let rows = self.values.chunks_exact(self.width);
        let values = rows.flat_map(|row| positions.clone().map(|position| row[position])).collect();
        Self { values, width }
    }

    /// The two rows that a row of the enlarged plane lies between.
    pub(super) fn around(&self, row: &Taps<T>) -> [&[T]; 2] {
        [row.low, row.high].map(|row| &self.values[row * self.width..][..self.width])
    }

    /// A row of the enlarged plane.
    pub(super) fn row(&self, row: &Taps<T>, result: &mut [T]) {
        let [upper, lower] = self.around(row);
        for ((result, &upper), &lower) in result.iter_mut().zip(upper).zip(lower) {
            *result = row.between(upper, lower);
        }
    }

    /// Adds the gradient of a row of the enlarged plane.
    pub(super) fn add_row(&mut self, row: &Taps<T>, grad: &[T]) {
        for (at, weight) in [(row.low, row.low_weight), (row.high, row.high_weight)] {
            for (sum, &grad) in self.values[at * self.width..][..self.width].iter_mut().zip(grad) {
                *sum += weight * grad;
            }
        }
    }

    /// Adds what it holds, as a gradient and `scale` times, to that of the plane it was made from by `columns`.
    pub(super) fn add_to(
        &self,
        plane: &mut [T],
        width: usize,
        columns: impl Iterator<Item = Taps<T>> + Clone,
        scale: T,
    ) {
        for (line, row) in plane.chunks_exact_mut(width).zip(self.values.chunks_exact(self.width)) {
            for (&grad, column) in row.iter().zip(columns.clone()) {
                column.add(line, grad * scale);
            }
        }
    }
}

/// A value of a plane and the row and column of the first that has it.
#[derive(Clone, Copy)]
pub(super) struct Peak<T> {
    pub(super) value: T,
    pub(super) at: Option<(usize, usize)>,
}

/// Largest and smallest value of `relu` of a plane. What it made zero has no place, since no gradient reaches it.
#[derive(Clone, Copy)]
pub(super) struct Extent<T> {
    pub(super) most: Peak<T>,
    pub(super) least: Peak<T>,
}

impl<T: Real> Extent<T> {
    /// Of a plane enlarged to `rows`.
    pub(super) fn of(stretched: &Stretched<T>, rows: &[Taps<T>]) -> Self {
        let zero = T::zero();
        let mut buffer = vec![zero; stretched.width];
        let (mut most, mut least) = ((zero, None), (T::zero(), None));
        for (i, row) in rows.iter().enumerate() {
            stretched.row(row, &mut buffer);
            let (high, low) = extrema(&buffer);
            if high > most.0 {
                most = (high, Some(i));
            }
            // A NaN is neither.
            if i == 0 || low < least.0 {
                least = (low, Some(i));
            }
        }
        let mut peak = |(value, row): (T, Option<usize>)| {
            let at = row.filter(|_| value > zero).and_then(|i| {
                stretched.row(&rows[i], &mut buffer);
                Some((i, buffer.iter().position(|v| *v == value)?))
            });
            Peak { value: if value > zero { value } else { zero }, at }
        };
        Self { most: peak(most), least: peak(least) }
    }

    /// `M - m + ε`
    pub(super) fn span(&self, epsilon: T) -> T {
        (self.most.value - self.least.value) + epsilon
    }
}

/// Largest and smallest of some values.
pub(super) fn extrema<T: Real>(values: &[T]) -> (T, T) {
    let Some(&first) = values.first() else { return (T::zero(), T::zero()) };
    let (mut most, mut least) = ([first; LANES], [first; LANES]);
    let chunks = values.chunks_exact(LANES);
    for (lane, &value) in chunks.remainder().iter().enumerate() {
        most[lane] = if value > most[lane] { value } else { most[lane] };
        least[lane] = if value < least[lane] { value } else { least[lane] };
    }
    for chunk in chunks {
        for (lane, &value) in chunk.iter().enumerate() {
            most[lane] = if value > most[lane] { value } else { most[lane] };
            least[lane] = if value < least[lane] { value } else { least[lane] };
        }
    }
    let most = most.into_iter().fold(first, |a, b| if b > a { b } else { a });
    (most, least.into_iter().fold(first, |a, b| if b < a { b } else { a }))
}

/// Sum of the products, in an order that depends on the length alone.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a.chunks(LANES).zip(b.chunks(LANES)) {
        for ((lane, &a), &b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.into_iter().fold(T::zero(), |sum, lane| sum + lane)
}

/// Sum of `f` of the values, in an order that depends on the length alone.
pub(super) fn total<T: Real>(values: &[T], f: impl Fn(T) -> T) -> T {
    let mut lanes = [T::zero(); LANES];
    let chunks = values.chunks_exact(LANES);
    for (lane, &value) in lanes.iter_mut().zip(chunks.remainder()) {
        *lane += f(value);
    }
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f(value);
        }
    }
    lanes.into_iter().fold(T::zero(), |sum, lane| sum + lane)
}
