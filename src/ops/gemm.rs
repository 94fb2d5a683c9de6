//! Matrix products on slices: the one place of the crate with `unsafe` code.
//!
//! Deterministic: the `gemm` crate cuts the inner dimension by sizes only and gives each element of the result to one
//! thread, so the bits do not depend on [`Threads`]. A test of `conv2d` watches over it.

use super::kernel::Real;

/// Who computes a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Threads {
    /// The calling thread.
    One,
    /// All threads of the rayon pool the caller runs in.
    Pool,
}

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
pub(super) fn product<T: Real>(
    threads: Threads,
    result: MatrixMut<'_, T>,
    accumulate: bool,
    left: Matrix<'_, T>,
    right: Matrix<'_, T>,
) {
    let (rows, columns, inner) = (result.rows, result.columns, left.columns);
    assert!(left.rows == rows && right.columns == columns && right.rows == inner, "sizes of a matrix product");
    assert!(left.span() <= left.values.len() && right.span() <= right.values.len(), "factors of a matrix product");
    assert!(rows <= 1 || result.row_stride >= columns, "rows of a matrix product overlap");
    assert!(span(rows, columns, result.row_stride, 1) <= result.values.len(), "result of a matrix product");
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::Pool => gemm::Parallelism::Rayon(0),
    };
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
            parallelism,
        );
    }
}
