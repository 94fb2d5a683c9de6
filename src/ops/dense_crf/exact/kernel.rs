//! The pairwise weights of one image, whole when they are small, block by block when they are not.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::ops::dense_crf::DenseCrfConfig;
use crate::ops::gemm::{Matrix, MatrixMut, product};

/// Pixels whose messages are summed together.
pub(super) const BLOCK: usize = 256;

// Pixels whose weights to a block are made at once where they are not kept: half a megabyte.
const ROWS: usize = 256;

// Weights held at once, 8 MiB. An image with more pairs has its weights made again in every iteration.
const KEPT_WEIGHTS: usize = 1 << 20;

// Keeps a pixel like no other from a division by zero, as in the released code.
const LEAST_SUM: f64 = 1e-20;

/// What the weights of all images of one size have in common.
#[derive(Clone)]
pub(in crate::ops::dense_crf) struct SpaceKernel(Arc<Space>);

struct Space {
    width: usize,
    pixels: usize,
    // A Gaussian is a product over coordinates, and every coordinate is a whole number: tables instead of exponentials.
    gaussian: Vec<f64>,
    bilateral: Vec<f64>,
    // Of the differences -255 to 255.
    colour: Vec<f64>,
    // √(compat / row sum) of every pixel.
    gaussian_scale: Vec<f64>,
    bilateral_compat: f64,
    // Of all pairs of pixels, where weights are kept: the weights of the Gaussian kernel, and the bilateral one's part.
    pairs: Option<[Vec<f64>; 2]>,
}

const LEVELS: usize = u8::MAX as usize + 1;

impl SpaceKernel {
    pub(in crate::ops::dense_crf) fn new((height, width): (usize, usize), config: &DenseCrfConfig) -> Self {
        let extent = width.max(height);
        let gaussian = table(extent, config.gaussian_sxy);
        let sums = |len: usize| -> Vec<f64> {
            (0..len).map(|here| (0..len).map(|there| gaussian[here.abs_diff(there)]).sum()).collect()
        };
        let (rows, columns) = (sums(height), sums(width));
        let scale = |sum: f64| (config.gaussian_compat / (sum + LEAST_SUM)).sqrt();
        let gaussian_scale =
            rows.iter().flat_map(|row| columns.iter().map(move |column| scale(row * column))).collect();
        let colour = table(LEVELS, config.bilateral_srgb);
        let mut space = Space {
            width,
            pixels: width * height,
            bilateral: table(extent, config.bilateral_sxy),
            colour: colour.iter().skip(1).rev().chain(&colour).copied().collect(),
            bilateral_compat: config.bilateral_compat,
            gaussian_scale,
            gaussian,
            pairs: None,
        };
        if space.keeps() {
            let all = |row: &dyn Fn(usize, &mut [f64])| -> Vec<f64> {
                let mut values = vec![1.0; space.pixels * space.pixels];
                values.chunks_exact_mut(space.pixels.max(1)).enumerate().for_each(|(from, values)| row(from, values));
                values
            };
            let gaussian = all(&|from, values| space.gaussian_weights(from, 0..space.pixels, values));
            let bilateral = all(&|from, values| space.bilateral_part(from, 0..space.pixels, values));
            space.pairs = Some([gaussian, bilateral]);
        }
        Self(Arc::new(space))
    }
}

impl Space {
    // Whether the weights of all pairs are held at once.
    fn keeps(&self) -> bool {
        self.pixels * self.pixels <= KEPT_WEIGHTS
    }

    // The weights of the Gaussian kernel between pixel `from` and those of a range.
    fn gaussian_weights(&self, from: usize, range: Range<usize>, out: &mut [f64]) {
        let (x, y) = (from % self.width, from / self.width);
        for (line, first, there) in lines(self.width, range) {
            let scales = &self.gaussian_scale[line * self.width..];
            let of_line = self.gaussian_scale[from] * self.gaussian[y.abs_diff(line)];
            for (out, there) in out[first..].iter_mut().zip(there) {
                *out = of_line * self.gaussian[x.abs_diff(there)] * scales[there];
            }
        }
    }

    // What the positions contribute to the bilateral kernel.
    fn bilateral_part(&self, from: usize, range: Range<usize>, out: &mut [f64]) {
        let (x, y) = (from % self.width, from / self.width);
        for (line, first, there) in lines(self.width, range) {
            let of_line = self.bilateral[y.abs_diff(line)];
            for (out, there) in out[first..].iter_mut().zip(there) {
                *out = of_line * self.bilateral[x.abs_diff(there)];
            }
        }
    }
}

/// `w_ij = compat_g k_g(i,j) / √(n_i n_j) + compat_b k_b(i,j) / √(m_i m_j)`, symmetric, with `n` and `m` the row sums
/// of the two Gaussian kernels, the pixel itself included.
pub(in crate::ops::dense_crf) struct PairwiseKernel {
    space: Arc<Space>,
    rgb: Vec<u8>,
    // √(compat / row sum) of every pixel.
    bilateral_scale: Vec<f64>,
    kept: Option<Vec<f64>>,
}

impl PairwiseKernel {
    /// `rgb` is row-major, three bytes a pixel.
    pub(in crate::ops::dense_crf) fn new(rgb: &[u8], space: &SpaceKernel) -> Self {
        let space = Arc::clone(&space.0);
        let (count, compat) = (space.pixels, space.bilateral_compat);
        let scale = |row: &[f64]| (compat / (row.iter().sum::<f64>() + LEAST_SUM)).sqrt();
        let mut kernel = Self { space, rgb: rgb.to_vec(), bilateral_scale: Vec::new(), kept: None };
        if let Some([gaussian, bilateral]) = &kernel.space.pairs {
            let mut kept = kernel.whole_bilateral(bilateral);
            let scales: Vec<f64> = kept.chunks_exact(count.max(1)).map(scale).collect();
            let rows = kept.chunks_exact_mut(count.max(1)).zip(gaussian.chunks_exact(count.max(1)));
            for ((row, gaussian), own) in rows.zip(&scales) {
                for ((value, gaussian), other) in row.iter_mut().zip(gaussian).zip(&scales) {
                    *value = gaussian + *value * own * other;
                }
            }
            kernel.kept = Some(kept);
            return kernel;
        }
        kernel.bilateral_scale = (0..count)
            .into_par_iter()
            .map_init(Vec::new, |row, from| {
                row.resize(count, 0.0);
                kernel.bilateral(from, 0..count, row);
                scale(row)
            })
            .collect();
        kernel
    }

    pub(super) fn len(&self) -> usize {
        self.space.pixels
    }

    /// Adds the weighted beliefs of all pixels for the pixels of `range`. Beliefs are `rows` maps, `sums` the same of the
    /// range alone.
    pub(super) fn add_messages(&self, range: Range<usize>, beliefs: &[f64], rows: usize, sums: &mut [f64]) {
        let (count, width) = (self.len(), range.len());
        if let Some(kept) = &self.kept {
            let weights = Matrix::new(&kept[range.start..], count, width, count);
            let into = MatrixMut::new(sums, rows, width, width);
            product(into, true, Matrix::new(beliefs, rows, count, count), weights);
            return;
        }
        let mut tile = vec![0.0; ROWS * width];
        let mut gaussian = vec![0.0; width];
        for first in (0..count).step_by(ROWS) {
            let height = ROWS.min(count - first);
            for (offset, row) in tile.chunks_exact_mut(width).take(height).enumerate() {
                let from = first + offset;
                self.bilateral(from, range.clone(), row);
                self.space.gaussian_weights(from, range.clone(), &mut gaussian);
                let scales = &self.bilateral_scale[range.clone()];
                for ((value, gaussian), scale) in row.iter_mut().zip(&gaussian).zip(scales) {
                    *value = gaussian + *value * self.bilateral_scale[from] * scale;
                }
            }
            let beliefs = Matrix::new(&beliefs[first..], rows, height, count);
            let into = MatrixMut::new(&mut *sums, rows, width, width);
            product(into, true, beliefs, Matrix::new(&tile, height, width, width));
        }
    }

    // The bilateral kernel between all pairs. Each is computed once.
    fn whole_bilateral(&self, of_positions: &[f64]) -> Vec<f64> {
        let count = self.len();
        let mut whole = of_positions.to_vec();
        for (from, row) in whole.chunks_exact_mut(count.max(1)).enumerate() {
            self.colour(from, from..count, &mut row[from..]);
        }
        for from in 1..count {
            let (above, own) = whole.split_at_mut(from * count);
            for (there, value) in own[..from].iter_mut().enumerate() {
                *value = above[there * count + from];
            }
        }
        whole
    }

    // The bilateral kernel between pixel `from` and those of a range.
    fn bilateral(&self, from: usize, range: Range<usize>, out: &mut [f64]) {
        self.space.bilateral_part(from, range.clone(), out);
        self.colour(from, range, out);
    }

    // Multiplies by what the colours contribute to the bilateral kernel.
    fn colour(&self, from: usize, range: Range<usize>, out: &mut [f64]) {
        let here = &self.rgb[from * 3..][..3];
        let of_difference = |c: usize| self.space.colour[LEVELS - 1 - usize::from(here[c])..].first_chunk::<LEVELS>();
        let (Some(red), Some(green), Some(blue)) = (of_difference(0), of_difference(1), of_difference(2)) else {
            return;
        };
        for (out, there) in out.iter_mut().zip(self.rgb[range.start * 3..range.end * 3].as_chunks::<3>().0) {
            *out *= red[usize::from(there[0])] * green[usize::from(there[1])] * blue[usize::from(there[2])];
        }
    }
}

// The rows of an image that a range of pixels lies in: their number, the offset into the range, and columns.
fn lines(width: usize, range: Range<usize>) -> impl Iterator<Item = (usize, usize, Range<usize>)> {
    let lines = range.start / width.max(1)..range.end.div_ceil(width.max(1));
    lines.map(move |line| {
        let (start, end) = ((line * width).max(range.start), ((line + 1) * width).min(range.end));
        (line, start - range.start, start - line * width..end - line * width)
    })
}

// exp(-d² / 2σ²) for the distances 0, 1, ..
fn table(len: usize, sigma: f64) -> Vec<f64> {
    (0..len).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp()).collect()
}
