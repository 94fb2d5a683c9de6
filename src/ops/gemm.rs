//! Matrix products on slices: beside `filled.rs` and `device/` the one place of the crate with `unsafe` code.
//!
//! On the calling thread: operations share their work out themselves, in products of one size whatever the threads.

use super::kernel::Real;

/// A matrix inside a slice: element `(i, j)` is `values[i * row_stride + j * column_stride]`.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a, T> {
    values: &'a [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Matrix<'a, T> {
    /// Rows of adjacent elements, `row_stride` apart.
    pub(super) fn new(values: &'a [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride, column_stride: 1 }
    }

    pub(super) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }

    /// Elements of the slice that the matrix spans.
    fn span(&self) -> usize {
        span(self.rows, self.columns, self.row_stride, self.column_stride)
    }
}

/// A matrix to be written, rows of adjacent elements.
pub(super) struct MatrixMut<'a, T> {
    values: &'a mut [T],
    rows: usize,
    columns: usize,
    row_stride: usize,
}

impl<'a, T> MatrixMut<'a, T> {
    pub(super) fn new(values: &'a mut [T], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { values, rows, columns, row_stride }
    }
}

fn span(rows: usize, columns: usize, row_stride: usize, column_stride: usize) -> usize {
    if rows == 0 || columns == 0 {
        return 0;
    }
    (rows - 1) * row_stride + (columns - 1) * column_stride + 1
}

/// `result = left right`, or `result += left right`.
///
/// # Panics
/// When the sizes do not fit each other or the slices; they come from shapes checked before.
pub(super) fn product<T: Real>(result: MatrixMut<'_, T>, accumulate: bool, left: Matrix<'_, T>, right: Matrix<'_, T>) {
    let (rows, columns, inner) = (result.rows, result.columns, left.columns);
    assert!(left.rows == rows && right.columns == columns && right.rows == inner, "sizes of a matrix product");
    assert!(left.span() <= left.values.len() && right.span() <= right.values.len(), "factors of a matrix product");
    assert!(rows <= 1 || result.row_stride >= columns, "rows of a matrix product overlap");
    assert!(span(rows, columns, result.row_stride, 1) <= result.values.len(), "result of a matrix product");
    #[allow(unsafe_code, reason = "the gemm crate takes pointers; their spans are checked above")]
    // SAFETY: every element that gemm reads or writes lies within the spans just checked against the lengths of the
    // slices; slices are at most isize::MAX bytes, so the strides fit isize; the rows of the result do not overlap, and
    // the borrows keep it apart from the factors. `Real` is f32 or f64, which gemm supports.
    unsafe {
        gemm::gemm(
            rows,
            columns,
            inner,
            result.values.as_mut_ptr(),
            1,
            result.row_stride as isize,
            accumulate,
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            if accumulate { T::one() } else { T::zero() },
            T::one(),
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small integers, whose sums are exact in every order.
    fn numbers<T: Real>(len: usize) -> Vec<T> {
        (0..len).map(|i| T::from_f64(((i * 7919) % 23) as f64 - 11.0)).collect()
    }

    /// `left right` with each factor stored as it is or transposed, in wider rows than needed, added to ones.
    fn run<T: Real>(sizes: [usize; 3], transposed: [bool; 2]) {
        let [rows, columns, inner] = sizes;
        let mut result = vec![T::one(); rows * (columns + 3)];
        let (a, b) = (numbers::<T>((rows + 2) * (inner + 2)), numbers::<T>((inner + 1) * (columns + 1)));
        let left = match transposed[0] {
            true => Matrix::new(&a, inner, rows, rows + 1).transposed(),
            false => Matrix::new(&a, rows, inner, inner + 1),
        };
        let right = match transposed[1] {
            true => Matrix::new(&b, columns, inner, inner + 1).transposed(),
            false => Matrix::new(&b, inner, columns, columns + 1),
        };
        product(MatrixMut::new(&mut result, rows, columns, columns + 3), true, left, right);
        for (i, row) in result.chunks(columns + 3).enumerate() {
            for (j, &got) in row.iter().enumerate() {
                let term = |k: usize| {
                    let a = a[if transposed[0] { k * (rows + 1) + i } else { i * (inner + 1) + k }];
                    let b = b[if transposed[1] { j * (inner + 1) + k } else { k * (columns + 1) + j }];
                    a.to_f64() * b.to_f64()
                };
                let sum = if j < columns { (0..inner).map(term).sum() } else { 0.0 };
                assert_eq!(got.to_f64(), 1.0 + sum, "{sizes:?} {transposed:?} at {i}, {j}");
            }
        }
    }

    const LAYOUTS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];

    #[test]
    fn products_are_those_of_the_loops() {
        for sizes in [[1, 1, 1], [5, 3, 2], [17, 1, 9], [1, 19, 40], [33, 70, 130], [4, 9, 0], [70, 65, 21]] {
            for layout in LAYOUTS {
                run::<f32>(sizes, layout);
                run::<f64>(sizes, layout);
            }
        }
    }

    #[test]
    #[should_panic(expected = "factors of a matrix product")]
    fn short_factors_are_caught() {
        let mut result = [0f32; 4];
        let factor = [1f32; 4];
        let short = Matrix::new(&factor[..3], 2, 2, 2);
        product(MatrixMut::new(&mut result, 2, 2, 2), false, short, Matrix::new(&factor, 2, 2, 2));
    }

    #[test]
    #[should_panic(expected = "rows of a matrix product overlap")]
    fn overlapping_rows_are_caught() {
        let mut result = [0f32; 4];
        let factor = [1f32; 4];
        let factor = Matrix::new(&factor, 2, 2, 2);
        product(MatrixMut::new(&mut result, 2, 2, 1), false, factor, factor);
    }
}
