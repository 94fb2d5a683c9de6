//! The pairwise weights of one image, whole when they are small, block by block when they are not.

use rayon::prelude::*;

use crate::ops::dense_crf::DenseCrfConfig;

/// Pixels whose messages are summed together: one vectorised inner loop.
pub(super) const BLOCK: usize = 64;

// Weights held at once, 8 MiB. An image with more pairs has its weights made again in every iteration.
const KEPT_WEIGHTS: usize = 1 << 20;

#[derive(Clone, Copy)]
struct Pixel {
    x: usize,
    y: usize,
    rgb: [u8; 3],
}

/// `w_ij = compat_g k_g(i,j) / √(n_i n_j) + compat_b k_b(i,j) / √(m_i m_j)`, symmetric, with `n` and `m` the row sums
/// of the two Gaussian kernels, the pixel itself included.
pub(in crate::ops::dense_crf) struct PairwiseKernel {
    pixels: Vec<Pixel>,
    // A Gaussian is a product over coordinates, and every coordinate is a whole number: tables instead of exponentials.
    gaussian: Vec<f64>,
    bilateral: Vec<f64>,
    colour: Vec<f64>,
    // √(compat / row sum) of every pixel.
    gaussian_scale: Vec<f64>,
    bilateral_scale: Vec<f64>,
    kept: Option<Vec<f64>>,
}

impl PairwiseKernel {
    /// `rgb` is row-major, `width` pixels a row, three bytes a pixel.
    pub(in crate::ops::dense_crf) fn new(rgb: &[u8], width: usize, config: &DenseCrfConfig) -> Self {
        let pixels: Vec<Pixel> = rgb
            .chunks_exact(3)
            .enumerate()
            .map(|(i, c)| Pixel { x: i % width, y: i / width, rgb: [c[0], c[1], c[2]] })
            .collect();
        let extent = width.max(pixels.len().div_ceil(width.max(1)));
        let mut kernel = Self {
            gaussian: table(extent, config.gaussian_sxy),
            bilateral: table(extent, config.bilateral_sxy),
            colour: table(usize::from(u8::MAX) + 1, config.bilateral_srgb),
            gaussian_scale: Vec::new(),
            bilateral_scale: Vec::new(),
            kept: None,
            pixels,
        };
        let sums: Vec<(f64, f64)> = kernel.pixels.par_iter().map(|p| kernel.row_sums(*p)).collect();
        let scale = |compat: f64, sum: f64| (compat / (sum + 1e-20)).sqrt();
        kernel.gaussian_scale = sums.iter().map(|s| scale(config.gaussian_compat, s.0)).collect();
        kernel.bilateral_scale = sums.iter().map(|s| scale(config.bilateral_compat, s.1)).collect();
        let count = kernel.pixels.len();
        if count > 0 && count * count <= KEPT_WEIGHTS {
            let mut kept = vec![0.0; count * count];
            kept.par_chunks_mut(count).enumerate().for_each(|(from, row)| kernel.compute(from, 0, row));
            kernel.kept = Some(kept);
        }
        kernel
    }

    pub(super) fn len(&self) -> usize {
        self.pixels.len()
    }

    /// Sums the weighted beliefs of all pixels for the pixels `first..`, as many as `out` has room for. Beliefs and
    /// `out` are pixel-major, `channels` values a pixel.
    pub(super) fn message(&self, first: usize, beliefs: &[f64], channels: usize, out: &mut [f64]) {
        let len = out.len() / channels;
        let mut sums = vec![0.0; channels * len];
        let mut scratch = [0.0; BLOCK];
        for (from, belief) in beliefs.chunks_exact(channels).enumerate() {
            let weights = match &self.kept {
                Some(kept) => &kept[from * self.len() + first..][..len],
                None => {
                    self.compute(from, first, &mut scratch[..len]);
                    &scratch[..len]
                }
            };
            for (sums, belief) in sums.chunks_exact_mut(len).zip(belief) {
                for (sum, weight) in sums.iter_mut().zip(weights) {
                    *sum += belief * weight;
                }
            }
        }
        for (i, out) in out.chunks_exact_mut(channels).enumerate() {
            for (c, out) in out.iter_mut().enumerate() {
                *out = sums[c * len + i];
            }
        }
    }

    // Weights between pixel `from` and the pixels `first..`.
    fn compute(&self, from: usize, first: usize, out: &mut [f64]) {
        let here = self.pixels[from];
        let (gaussian_scale, bilateral_scale) = (self.gaussian_scale[from], self.bilateral_scale[from]);
        let others = self.pixels[first..].iter().zip(&self.gaussian_scale[first..]).zip(&self.bilateral_scale[first..]);
        for (out, ((there, gaussian), bilateral)) in out.iter_mut().zip(others) {
            let (k_gaussian, k_bilateral) = self.pair(here, *there);
            *out = k_gaussian * gaussian_scale * gaussian + k_bilateral * bilateral_scale * bilateral;
        }
    }

    fn pair(&self, a: Pixel, b: Pixel) -> (f64, f64) {
        let (dx, dy) = (a.x.abs_diff(b.x), a.y.abs_diff(b.y));
        let colour = |c: usize| self.colour[usize::from(a.rgb[c].abs_diff(b.rgb[c]))];
        let gaussian = self.gaussian[dx] * self.gaussian[dy];
        (gaussian, self.bilateral[dx] * self.bilateral[dy] * colour(0) * colour(1) * colour(2))
    }

    fn row_sums(&self, here: Pixel) -> (f64, f64) {
        self.pixels.iter().fold((0.0, 0.0), |sums, there| {
            let (gaussian, bilateral) = self.pair(here, *there);
            (sums.0 + gaussian, sums.1 + bilateral)
        })
    }
}

// exp(-d² / 2σ²) for the distances 0, 1, ..
fn table(len: usize, sigma: f64) -> Vec<f64> {
    (0..len).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp()).collect()
}
