//! CPU code of one plane as the losses compare it: enlarged, normalised, resized.
//!
//! Of the enlarged plane only the extrema need all pixels; the rest is evaluated where the resized plane looks.

use crate::ops::Corners;
use crate::ops::enlarged::{Extent, Stretched, dot, total};
use crate::ops::kernel::Real;
use crate::ops::normalize::above_least;
use crate::ops::resize::{Taps, taps};

/// Positions of a view: from its maps to the size they are normalised at, and from there to the size of comparison.
pub(super) struct Frame<T> {
    width: usize,
    height: usize,
    large_rows: Vec<Taps<T>>,
    large_columns: Vec<Taps<T>>,
    rows: Vec<Taps<T>>,
    columns: Vec<Taps<T>>,
    low_weights: Vec<T>,
    high_weights: Vec<T>,
    /// Whether the second resize changes nothing.
    is_direct: bool,
    epsilon: T,
}

/// Where a column of the comparison looks in the enlarged plane, and with what weights of all columns.
type Side<T> = (fn(&Taps<T>) -> usize, fn(&Frame<T>) -> &[T]);

impl<T: Real> Frame<T> {
    pub(super) fn new(map: (usize, usize), large: (usize, usize), compared: (usize, usize), epsilon: f64) -> Self {
        let columns = taps::<T>(large.1, compared.1, Corners::Aligned);
        Self {
            height: map.0,
            width: map.1,
            large_rows: taps(map.0, large.0, Corners::Aligned),
            large_columns: taps(map.1, large.1, Corners::Aligned),
            rows: taps(large.0, compared.0, Corners::Aligned),
            low_weights: columns.iter().map(|column| column.low_weight).collect(),
            high_weights: columns.iter().map(|column| column.high_weight).collect(),
            columns,
            is_direct: large == compared,
            epsilon: T::from_f64(epsilon),
        }
    }

    /// Pixels of a plane as it is stored.
    pub(super) fn pixels(&self) -> usize {
        self.height * self.width
    }

    /// Pixels at the size of comparison.
    pub(super) fn compared_pixels(&self) -> usize {
        self.rows.len() * self.columns.len()
    }

    /// Left and right neighbours in the enlarged plane, each with its weights.
    fn sides(&self) -> &[Side<T>] {
        if self.is_direct { &[(|tap| tap.low, |frame| &frame.low_weights)] } else { &Self::SIDES }
    }

    const SIDES: [Side<T>; 2] =
        [(|tap| tap.low, |frame| &frame.low_weights), (|tap| tap.high, |frame| &frame.high_weights)];

    /// Upper and lower neighbours in the enlarged plane, each with its weight.
    fn levels(&self, row: &Taps<T>) -> impl Iterator<Item = (Taps<T>, T)> {
        let count = if self.is_direct { 1 } else { 2 };
        [(row.low, row.low_weight), (row.high, row.high_weight)]
            .map(|(at, weight)| (self.large_rows[at], weight))
            .into_iter()
            .take(count)
    }
}

/// One plane of a view, ready to be evaluated.
pub(super) struct Aligned<'a, T> {
    frame: &'a Frame<T>,
    sides: Vec<Stretched<T>>,
    extent: Extent<T>,
}

impl<'a, T: Real> Aligned<'a, T> {
    pub(super) fn new(frame: &'a Frame<T>, plane: &[T]) -> Self {
        let stretched = Stretched::new(plane, frame.width, &frame.large_columns);
        let extent = Extent::of(&stretched, &frame.large_rows);
        let pick = |side: fn(&Taps<T>) -> usize| stretched.pick(frame.columns.iter().map(side), frame.columns.len());
        let sides = frame.sides().iter().map(|(side, _)| pick(*side)).collect();
        Self { frame, sides, extent }
    }

    /// `resize(max_norm(enlarged))`, row by row into `result`.
    pub(super) fn values(&self, result: &mut [T]) {
        let frame = self.frame;
        let width = frame.columns.len();
        let mut upper = vec![T::zero(); width];
        for (row, result) in frame.rows.iter().zip(result.chunks_exact_mut(width)) {
            if frame.is_direct {
                self.normalised(0, &frame.large_rows[row.low], result);
                continue;
            }
            self.between_columns(&frame.large_rows[row.low], &mut upper);
            self.between_columns(&frame.large_rows[row.high], result);
            for (result, &upper) in result.iter_mut().zip(&upper) {
                *result = row.between(upper, *result);
            }
        }
    }

    /// A row of the normalised plane, at the columns of one side.
    fn normalised(&self, side: usize, row: &Taps<T>, result: &mut [T]) {
        let (least, epsilon) = (self.extent.least.value, self.frame.epsilon);
        let span = self.extent.span(epsilon);
        let [upper, lower] = self.sides[side].around(row);
        for ((result, &upper), &lower) in result.iter_mut().zip(upper).zip(lower) {
            *result = above_least(row.between(upper, lower), least, epsilon) / span;
        }
    }

    /// A row of the normalised plane, resized to the columns of comparison.
    fn between_columns(&self, row: &Taps<T>, result: &mut [T]) {
        let (least, epsilon) = (self.extent.least.value, self.frame.epsilon);
        let span = self.extent.span(epsilon);
        let [[left_upper, left_lower], [right_upper, right_lower]] = [0, 1].map(|side| self.sides[side].around(row));
        let left = left_upper.iter().zip(left_lower).zip(&self.frame.low_weights);
        let right = right_upper.iter().zip(right_lower).zip(&self.frame.high_weights);
        for ((result, ((&u, &l), &low)), ((&right_u, &right_l), &high)) in result.iter_mut().zip(left).zip(right) {
            let left = above_least(row.between(u, l), least, epsilon) / span;
            let right = above_least(row.between(right_u, right_l), least, epsilon) / span;
            *result = low * left + high * right;
        }
    }

    /// Adds the gradient by the plane, given the one by [`Self::values`].
    pub(super) fn add_gradient(&self, grad: &[T], result: &mut [T]) {
        let frame = self.frame;
        let width = frame.columns.len();
        let (least, epsilon) = (self.extent.least.value, frame.epsilon);
        let inverse = T::one() / self.extent.span(epsilon);
        // Sums of the gradient over what is above the least value, alone and times how far it is above.
        let (mut active, mut along) = (0.0, 0.0);
        let (mut part, mut above) = (vec![T::zero(); width], vec![T::zero(); width]);
        for (side, (column, weights)) in frame.sides().iter().enumerate() {
            let mut sums = Stretched::zeros(frame.height, width);
            for (row, grad) in frame.rows.iter().zip(grad.chunks_exact(width)) {
                for (row, weight) in frame.levels(row) {
                    let [upper, lower] = self.sides[side].around(&row);
                    for (((above, &upper), &lower), (part, (&grad, &side_weight))) in
                        above.iter_mut().zip(upper).zip(lower).zip(part.iter_mut().zip(grad.iter().zip(weights(frame))))
                    {
                        *above = above_least(row.between(upper, lower), least, epsilon);
                        let weighed = grad * (weight * side_weight);
                        *part = if *above > T::zero() { weighed } else { T::zero() };
                    }
                    active += total(&part, |part| part).to_f64();
                    along += dot(&part, &above).to_f64();
                    sums.add_row(&row, &part);
                }
            }
            let columns = frame.columns.iter().map(|tap| frame.large_columns[column(tap)]);
            sums.add_to(result, frame.width, columns, inverse);
        }
        let along = T::from_f64(along) * inverse * inverse;
        self.add_at(self.extent.most.at, -along, result);
        self.add_at(self.extent.least.at, along - T::from_f64(active) * inverse, result);
    }

    /// Adds the gradient of one pixel of the enlarged plane.
    fn add_at(&self, at: Option<(usize, usize)>, grad: T, result: &mut [T]) {
        let Some((row, column)) = at else { return };
        let (row, column) = (&self.frame.large_rows[row], &self.frame.large_columns[column]);
        for (at, weight) in [(row.low, row.low_weight), (row.high, row.high_weight)] {
            column.add(&mut result[at * self.frame.width..][..self.frame.width], weight * grad);
        }
    }
}
