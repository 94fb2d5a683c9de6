//! CPU code of the averages: products of tiles.
//!
//! Deterministic: tiles have one size whatever the threads, and a column of the result belongs to one thread, which adds
//! its tiles from the first row to the last.

use candle_core::{Result, Shape};
use rayon::prelude::*;

use crate::ops::gemm::{Matrix, MatrixMut, Threads, product};
use crate::ops::kernel::{Array, Kernel, Real};

pub(super) struct AffinityMean {
    pub(super) epsilon: f64,
}

/// Sides of a tile: half a megabyte in float32, so that it is still in the cache when it is used up.
const ROWS: usize = 512;
const COLUMNS: usize = 256;

impl Kernel<2> for AffinityMean {
    const NAME: &'static str = "affinity_mean";

    fn forward<T: Real>(&self, [maps, unit]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let (&[n, classes, pixels], &[_, dim, _]) = (maps.dims, unit.dims) else {
            candle_core::bail!("{}: expected 3 axes", Self::NAME)
        };
        let mut result = vec![T::zero(); maps.values.len()];
        // Without features nothing is alike, and every average is 0.
        if result.is_empty() || dim == 0 {
            return Ok((result, maps.dims.into()));
        }
        let blocks = pixels.div_ceil(COLUMNS);
        let weighed = with_ones(maps.values, classes, pixels);
        let columns: Vec<Vec<T>> = (0..n * blocks)
            .into_par_iter()
            .map_init(Vec::new, |tile, task| {
                let (image, start) = (task / blocks, task % blocks * COLUMNS);
                let unit = Matrices { values: &unit.values[image * dim * pixels..], rows: dim, pixels };
                let maps = &weighed[image * (classes + 1) * pixels..];
                let sums = sums(unit, Matrices { values: maps, rows: classes + 1, pixels }, start, tile);
                means(sums, classes, T::from_f64(self.epsilon))
            })
            .collect();
        for (task, columns) in columns.iter().enumerate() {
            let (image, start) = (task / blocks, task % blocks * COLUMNS);
            let width = columns.len() / classes;
            let rows = result[image * classes * pixels..].chunks_mut(pixels);
            for (row, columns) in rows.zip(columns.chunks_exact(width)) {
                row[start..start + width].copy_from_slice(columns);
            }
        }
        Ok((result, maps.dims.into()))
    }
}

/// The maps with one more of ones behind them, whose average is the divisor of the others.
fn with_ones<T: Real>(maps: &[T], classes: usize, pixels: usize) -> Vec<T> {
    let mut weighed = Vec::with_capacity(maps.len() / classes * (classes + 1));
    for maps in maps.chunks_exact(classes * pixels) {
        weighed.extend_from_slice(maps);
        weighed.extend(std::iter::repeat_n(T::one(), pixels));
    }
    weighed
}

/// Rows of one value a pixel.
#[derive(Clone, Copy)]
struct Matrices<'a, T> {
    values: &'a [T],
    rows: usize,
    pixels: usize,
}

impl<'a, T> Matrices<'a, T> {
    /// Some of the pixels.
    fn columns(&self, start: usize, len: usize) -> Matrix<'a, T> {
        Matrix::new(&self.values[start..], self.rows, len, self.pixels)
    }
}

/// `Σ_i maps_i A_ij` for a block of columns `j`, rows of the maps.
fn sums<T: Real>(unit: Matrices<'_, T>, maps: Matrices<'_, T>, start: usize, tile: &mut Vec<T>) -> Vec<T> {
    let width = COLUMNS.min(unit.pixels - start);
    let mut sums = vec![T::zero(); maps.rows * width];
    for row in (0..unit.pixels).step_by(ROWS) {
        let height = ROWS.min(unit.pixels - row);
        tile.resize(height * width, T::zero());
        let (left, right) = (unit.columns(row, height).transposed(), unit.columns(start, width));
        product(Threads::One, MatrixMut::new(tile, height, width, width), false, left, right);
        for value in tile.iter_mut() {
            // Written whatever it is, since no processor guesses signs. A NaN stays one.
            *value = if *value <= T::zero() { T::zero() } else { *value };
        }
        let tile = Matrix::new(tile, height, width, width);
        product(
            Threads::One,
            MatrixMut::new(&mut sums, maps.rows, width, width),
            true,
            maps.columns(row, height),
            tile,
        );
    }
    sums
}

/// The first rows over the last one.
fn means<T: Real>(mut sums: Vec<T>, classes: usize, epsilon: T) -> Vec<T> {
    let width = sums.len() / (classes + 1);
    let (rows, divisors) = sums.split_at_mut(classes * width);
    for row in rows.chunks_exact_mut(width) {
        for (value, &divisor) in row.iter_mut().zip(divisors.iter()) {
            *value /= divisor + epsilon;
        }
    }
    sums.truncate(classes * width);
    sums
}
