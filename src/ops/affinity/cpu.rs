//! CPU code of the averages: products of tiles.
//!
//! A tile of the affinity matrix is made, used for both of its blocks and forgotten. Of `2 P² (d/2 + c + 1)` operations
//! an image, half of the inner products are saved by the symmetry. Deterministic: see [`super::pairs`].

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::device;
use super::gradient::{FeatureGradient, MapGradient};
use super::pairs::{Blocks, for_each_pair};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::gemm::{Matrix, MatrixMut, product};
use crate::ops::kernel::{Array, Kernel, Real, detached2, detached3};

/// Averages with one more row behind them, the roots of the divisors: what the gradient needs to know, in a range that
/// float16 has.
pub(super) struct AffinityMean {
    pub(super) epsilon: f64,
}

impl Kernel<2> for AffinityMean {
    const NAME: &'static str = "affinity_mean";

    fn forward<T: Real>(&self, [maps, unit]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let &[n, classes, pixels] = maps.dims else { candle_core::bail!("{}: expected 3 axes", Self::NAME) };
        let ones = with_ones(maps.values, [n, classes, pixels]);
        let mut result = weighed_sums(Stack::new(&ones, n, pixels), Stack::new(unit.values, n, pixels));
        let epsilon = T::from_f64(self.epsilon);
        for image in result.chunks_exact_mut(((classes + 1) * pixels).max(1)) {
            let (rows, divisors) = image.split_at_mut(classes * pixels);
            for divisor in divisors.iter_mut() {
                *divisor += epsilon;
            }
            for row in rows.chunks_exact_mut(pixels) {
                for (value, &divisor) in row.iter_mut().zip(divisors.iter()) {
                    *value /= divisor;
                }
            }
            for divisor in divisors {
                *divisor = divisor.sqrt();
            }
        }
        Ok((result, (n, classes + 1, pixels).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [maps, unit]: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::sums(gpu, [maps, unit], maps.dims[1], Some(self.epsilon))
    }

    fn backward(&self, [maps, unit]: [&Tensor; 2], result: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let result = result.detach();
        let of_maps = maps.track_op().then(|| detached2(MapGradient { result: result.clone() }, grad, unit));
        let of_unit = unit.track_op().then(|| detached3(FeatureGradient { result }, unit, maps, grad));
        Ok([of_maps.transpose()?, of_unit.transpose()?])
    }
}

/// The maps of each image with one more of ones behind them, whose average is the divisor of the others.
pub(super) fn with_ones<T: Real>(maps: &[T], [n, classes, pixels]: [usize; 3]) -> Vec<T> {
    let mut weighed = Vec::with_capacity(n * (classes + 1) * pixels);
    for image in 0..n {
        weighed.extend_from_slice(&maps[image * classes * pixels..][..classes * pixels]);
        weighed.extend(std::iter::repeat_n(T::one(), pixels));
    }
    weighed
}

/// One matrix an image, a value a pixel in each row.
#[derive(Clone, Copy)]
pub(super) struct Stack<'a, T> {
    values: &'a [T],
    pub(super) rows: usize,
    pub(super) pixels: usize,
    pub(super) images: usize,
}

impl<'a, T> Stack<'a, T> {
    pub(super) fn new(values: &'a [T], images: usize, pixels: usize) -> Self {
        Self { values, rows: values.len() / (images * pixels).max(1), pixels, images }
    }

    /// Some pixels of some rows of an image.
    pub(super) fn part(
        &self,
        image: usize,
        first_row: usize,
        rows: usize,
        pixels: std::ops::Range<usize>,
    ) -> Matrix<'a, T> {
        let start = (image * self.rows + first_row) * self.pixels + pixels.start;
        Matrix::new(&self.values[start.min(self.values.len())..], rows, pixels.len(), self.pixels)
    }

    /// Some pixels of all rows.
    pub(super) fn block(&self, image: usize, pixels: std::ops::Range<usize>) -> Matrix<'a, T> {
        self.part(image, 0, self.rows, pixels)
    }
}

/// `tile = left' right`, the inner products of the pixels of two blocks.
pub(super) fn inner_products<T: Real>(tile: &mut [T], left: Matrix<'_, T>, right: Matrix<'_, T>, width: usize) {
    let height = tile.len() / width.max(1);
    product(MatrixMut::new(tile, height, width, width), false, left.transposed(), right);
}

/// What a block adds up: once from blocks before it, by rows, once from blocks behind it, by pixels. Each is the order in
/// which its product is fast.
struct Sums<T> {
    by_row: Vec<T>,
    by_pixel: Vec<T>,
}

/// `Σ_i maps_i A_ij`, in the shape of the maps.
pub(super) fn weighed_sums<T: Real>(maps: Stack<'_, T>, unit: Stack<'_, T>) -> Vec<T> {
    let (rows, pixels) = (maps.rows, maps.pixels);
    let mut result = vec![T::zero(); maps.images * rows * pixels];
    if result.is_empty() {
        return result;
    }
    let blocks = Blocks::of(pixels);
    let zeros = |block: std::ops::Range<usize>| Sums {
        by_row: vec![T::zero(); rows * block.len()],
        by_pixel: vec![T::zero(); rows * block.len()],
    };
    let sums = for_each_pair(maps.images, blocks, zeros, |tile: &mut Vec<T>, pair, right_sums, left_sums| {
        let (left, right) = (blocks.range(pair.left), blocks.range(pair.right));
        let (height, width) = (left.len(), right.len());
        tile.resize(height * width, T::zero());
        inner_products(tile, unit.block(pair.image, left.clone()), unit.block(pair.image, right.clone()), width);
        for value in tile.iter_mut() {
            // Written whatever it is, since no processor guesses signs. A NaN stays one.
            *value = if *value <= T::zero() { T::zero() } else { *value };
        }
        let tile = Matrix::new(tile, height, width, width);
        let into = MatrixMut::new(&mut right_sums.by_row, rows, width, width);
        product(into, true, maps.block(pair.image, left), tile);
        if let Some(sums) = left_sums {
            let into = MatrixMut::new(&mut sums.by_pixel, height, rows, rows);
            product(into, true, tile, maps.block(pair.image, right).transposed());
        }
    });
    for (index, sums) in sums.iter().enumerate() {
        let (image, range) = (index / blocks.count, blocks.range(index % blocks.count));
        let width = range.len();
        for row in 0..rows {
            let into = &mut result[(image * rows + row) * pixels..][range.clone()];
            for (pixel, (value, &sum)) in into.iter_mut().zip(&sums.by_row[row * width..]).enumerate() {
                *value = sum + sums.by_pixel[pixel * rows + row];
            }
        }
    }
    result
}

/// Each image's matrix with its pixels in rows.
pub(super) fn by_pixel<T: Real>(stack: Stack<'_, T>) -> Vec<T> {
    let mut turned = vec![T::zero(); stack.values.len()];
    let size = (stack.rows * stack.pixels).max(1);
    turned.par_chunks_mut(size).zip(stack.values.par_chunks(size)).for_each(|(turned, values)| {
        transpose(values, stack.pixels, turned);
    });
    turned
}

/// Turns rows of `width` values each into columns.
pub(super) fn transpose<T: Real>(values: &[T], width: usize, turned: &mut [T]) {
    const SIDE: usize = 16;
    let height = values.len() / width.max(1);
    for top in (0..height).step_by(SIDE) {
        for left in (0..width).step_by(SIDE) {
            for column in left..(left + SIDE).min(width) {
                for row in top..(top + SIDE).min(height) {
                    turned[column * height + row] = values[row * width + column];
                }
            }
        }
    }
}
