//! CPU code: an image after the other, its soft-max in memory of its own.

use candle_core::{Result, Shape};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::kernel::{Array, IndexKernel, Real};
use crate::ops::vector;

pub(super) struct AboveMean;

impl IndexKernel for AboveMean {
    const NAME: &'static str = "region_masks";

    fn indices<T: Real>(&self, x: Array<'_, T>) -> Result<(Vec<u32>, Shape)> {
        let (channels, pixels) = (x.dims[1], x.dims[2] * x.dims[3]);
        let mut masks = vec![0u32; x.values.len()];
        if !masks.is_empty() {
            let images = masks.par_chunks_mut(channels * pixels).zip(x.values.par_chunks(channels * pixels));
            images.for_each(|(masks, scores)| image(scores, pixels, masks));
        }
        Ok((masks, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        device::forward(gpu, scores)
    }
}

fn image<T: Real>(scores: &[T], pixels: usize, masks: &mut [u32]) {
    let mut beliefs = scores.to_vec();
    let mut line = scores[..pixels].to_vec();
    Arch::new().dispatch(LessLargest { beliefs: &mut beliefs, line: &mut line });
    vector::exp(&mut beliefs);
    Arch::new().dispatch(OverSum { beliefs: &mut beliefs, line: &mut line });
    let ones = vec![T::one(); pixels];
    let share = T::from_f64(1.0 / pixels as f64);
    for (mask, beliefs) in masks.chunks_exact_mut(pixels).zip(beliefs.chunks_exact(pixels)) {
        // Above the mean, and above the smallest: the mean of equal numbers may, by rounding, be less than they are.
        let (mean, least) = (vector::dot(beliefs, &ones) * share, vector::least(beliefs));
        let bound = if least < mean { mean } else { least };
        Arch::new().dispatch(Above { beliefs, bound, mask });
    }
}

struct LessLargest<'a, T> {
    beliefs: &'a mut [T],
    /// The scores of the first channel.
    line: &'a mut [T],
}

impl<T: Real> WithSimd for LessLargest<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let pixels = self.line.len();
        for scores in self.beliefs.chunks_exact(pixels) {
            for (largest, &score) in self.line.iter_mut().zip(scores) {
                *largest = if *largest < score { score } else { *largest };
            }
        }
        for scores in self.beliefs.chunks_exact_mut(pixels) {
            for (score, &largest) in scores.iter_mut().zip(self.line.iter()) {
                *score -= largest;
            }
        }
    }
}

struct OverSum<'a, T> {
    beliefs: &'a mut [T],
    line: &'a mut [T],
}

impl<T: Real> WithSimd for OverSum<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let pixels = self.line.len();
        self.line.iter_mut().for_each(|sum| *sum = T::zero());
        for beliefs in self.beliefs.chunks_exact(pixels) {
            for (sum, &belief) in self.line.iter_mut().zip(beliefs) {
                *sum += belief;
            }
        }
        for beliefs in self.beliefs.chunks_exact_mut(pixels) {
            for (belief, &sum) in beliefs.iter_mut().zip(self.line.iter()) {
                *belief /= sum;
            }
        }
    }
}

struct Above<'a, T> {
    beliefs: &'a [T],
    bound: T,
    mask: &'a mut [u32],
}

impl<T: Real> WithSimd for Above<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (inside, &belief) in self.mask.iter_mut().zip(self.beliefs) {
            *inside = u32::from(self.bound < belief);
        }
    }
}
