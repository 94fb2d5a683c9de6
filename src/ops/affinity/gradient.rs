//! CPU code of the gradients.
//!
//! With `M` the maps and a row of ones below them, `S = M A`, the result `S_c / (S_1 + ε)` and `H = dL/dS`:
//!
//! ```text
//! dL/dM = H A
//! E_ij  = [z_i · z_j > 0] (M_i · H_j + H_i · M_j),   dL/dz_j = Σ_i E_ij z_i
//! ```
//!
//! `E` is symmetric as `A` is, so a tile of it serves both of its blocks as well.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};

use super::cpu::{Stack, by_pixel, inner_products, transpose, weighed_sums, with_ones};
use super::device;
use super::pairs::{Blocks, Pair, for_each_pair};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::gemm::{Matrix, MatrixMut, product};
use crate::ops::kernel::{Array, Kernel, Real, values_as};

/// `H` from the result, with the roots of the divisors in its last row, and its gradient.
fn cotangent<T: Real>(result: &Tensor, grad: Array<'_, T>) -> Result<Vec<T>> {
    let &[_, rows, pixels] = grad.dims else { candle_core::bail!("affinity_mean: expected 3 axes") };
    let (result, mut cotangent) = (values_as::<T>(result)?, grad.values.to_vec());
    let size = (rows * pixels).max(1);
    for (image, result) in cotangent.chunks_exact_mut(size).zip(result.chunks_exact(size)) {
        let (maps, of_divisor) = image.split_at_mut((rows - 1) * pixels);
        let (means, roots) = result.split_at((rows - 1) * pixels);
        of_divisor.fill(T::zero());
        for (maps, means) in maps.chunks_exact_mut(pixels).zip(means.chunks_exact(pixels)) {
            for (j, map) in maps.iter_mut().enumerate() {
                *map /= roots[j] * roots[j];
                of_divisor[j] -= *map * means[j];
            }
        }
    }
    Ok(cotangent)
}

/// `H A`, without the row of the divisors.
pub(super) struct MapGradient {
    pub(super) result: Tensor,
}

impl Kernel<2> for MapGradient {
    const NAME: &'static str = "affinity_mean gradient of the maps";

    fn forward<T: Real>(&self, [grad, unit]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let &[n, rows, pixels] = grad.dims else { candle_core::bail!("{}: expected 3 axes", Self::NAME) };
        let cotangent = cotangent(&self.result, grad)?;
        let size = (rows * pixels).max(1);
        let of_maps = cotangent.chunks_exact(size).flat_map(|image| &image[..(rows - 1) * pixels]);
        let maps: Vec<T> = of_maps.copied().collect();
        let sums = weighed_sums(Stack::new(&maps, n, pixels), Stack::new(unit.values, n, pixels));
        Ok((sums, (n, rows - 1, pixels).into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::of_maps(gpu, &self.result, inputs)
    }
}

/// `Σ_i E_ij z_i`.
pub(super) struct FeatureGradient {
    pub(super) result: Tensor,
}

impl Kernel<3> for FeatureGradient {
    const NAME: &'static str = "affinity_mean gradient of the features";

    fn forward<T: Real>(&self, [unit, maps, grad]: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let (&[n, dim, pixels], &[_, classes, _]) = (unit.dims, maps.dims) else {
            candle_core::bail!("{}: expected 3 axes", Self::NAME)
        };
        let mut result = vec![T::zero(); unit.values.len()];
        if result.is_empty() {
            return Ok((result, unit.dims.into()));
        }
        let factors = factors(maps.values, &cotangent(&self.result, grad)?, [n, classes, pixels]);
        let unit_stack = Stack::new(unit.values, n, pixels);
        let tiles = Tiles {
            unit: unit_stack,
            turned: &by_pixel(unit_stack),
            factors: Stack::new(&factors, n, pixels),
            blocks: Blocks::of(pixels),
        };
        for (index, sums) in tiles.sums().iter().enumerate() {
            let (image, range) = (index / tiles.blocks.count, tiles.blocks.range(index % tiles.blocks.count));
            let mut rows = vec![T::zero(); sums.len()];
            transpose(sums, dim, &mut rows);
            for (channel, row) in rows.chunks_exact(range.len()).enumerate() {
                result[(image * dim + channel) * pixels..][range.clone()].copy_from_slice(row);
            }
        }
        Ok((result, unit.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
        device::of_features(gpu, &self.result, inputs)
    }
}

/// `M`, `H` and `M` once more below each other: the first two thirds and the last two are the factors of `E`.
fn factors<T: Real>(maps: &[T], cotangent: &[T], dims: [usize; 3]) -> Vec<T> {
    let [n, classes, pixels] = dims;
    let size = (classes + 1) * pixels;
    let maps = with_ones(maps, dims);
    let mut factors = Vec::with_capacity(3 * maps.len());
    for image in 0..n {
        for part in [&maps[..], cotangent, &maps] {
            factors.extend_from_slice(&part[image * size..][..size]);
        }
    }
    factors
}

/// What tiles of `E` are made of.
struct Tiles<'a, T> {
    unit: Stack<'a, T>,
    // The same, pixels in rows.
    turned: &'a [T],
    factors: Stack<'a, T>,
    blocks: Blocks,
}

impl<T: Real> Tiles<'_, T> {
    /// The gradients of all blocks, pixels in rows.
    fn sums(&self) -> Vec<Vec<T>> {
        let dim = self.unit.rows;
        let zeros = |block: Range<usize>| vec![T::zero(); block.len() * dim];
        for_each_pair(self.unit.images, self.blocks, zeros, |tiles: &mut [Vec<T>; 2], pair, right_sums, left_sums| {
            let (left, right) = (self.blocks.range(pair.left), self.blocks.range(pair.right));
            let (height, width) = (left.len(), right.len());
            let tile = Matrix::new(self.tile(tiles, pair), height, width, width);
            let into = MatrixMut::new(right_sums, width, dim, dim);
            product(into, true, tile.transposed(), self.pixels(pair.image, left));
            if let Some(sums) = left_sums {
                let into = MatrixMut::new(sums, height, dim, dim);
                product(into, true, tile, self.pixels(pair.image, right));
            }
        })
    }

    /// `E` between two blocks.
    fn tile<'t>(&self, [affinity, tile]: &'t mut [Vec<T>; 2], pair: Pair) -> &'t [T] {
        let (left, right) = (self.blocks.range(pair.left), self.blocks.range(pair.right));
        let (height, width) = (left.len(), right.len());
        affinity.resize(height * width, T::zero());
        tile.resize(height * width, T::zero());
        let (image, rows) = (pair.image, self.factors.rows / 3);
        inner_products(affinity, self.unit.block(image, left.clone()), self.unit.block(image, right.clone()), width);
        let above = self.factors.part(image, 0, 2 * rows, left);
        let below = self.factors.part(image, rows, 2 * rows, right);
        inner_products(tile, above, below, width);
        for (value, &affinity) in tile.iter_mut().zip(affinity.iter()) {
            *value = if affinity > T::zero() { *value } else { T::zero() };
        }
        tile
    }

    fn pixels(&self, image: usize, range: Range<usize>) -> Matrix<'_, T> {
        let dim = self.unit.rows;
        Matrix::new(&self.turned[(image * self.unit.pixels + range.start) * dim..], range.len(), dim, dim)
    }
}
