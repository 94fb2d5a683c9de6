//! Mean-field iterations of one image. Float64, pixel-major.

use rayon::prelude::*;

use super::kernel::{BLOCK, PairwiseKernel};
use crate::ops::dense_crf::channels::{Beliefs, Channels};

/// `Q = softmax(-U + Σ_j w_ij Q_j)`, so many times, from `Q = softmax(-U)`. Pixel-major; the belief in *one* label of
/// each channel.
pub(in crate::ops::dense_crf) fn mean_field(
    kernel: &PairwiseKernel,
    channels: &Channels<f64>,
    iterations: usize,
) -> Beliefs {
    let count = channels.stride;
    let mut beliefs = channels.scores.clone();
    for belief in beliefs.chunks_exact_mut(count) {
        softmax(belief, &channels.multiplicity);
    }
    for _ in 0..iterations {
        let mut next = vec![0.0; beliefs.len()];
        // Parallel over the pixels that receive: every sum runs over all pixels in their order, whatever the threads.
        let blocks = next.par_chunks_mut(BLOCK * count).zip(channels.scores.par_chunks(BLOCK * count));
        blocks.enumerate().for_each(|(block, (next, scores))| {
            kernel.message(block * BLOCK, &beliefs, count, next);
            for (next, score) in next.chunks_exact_mut(count).zip(scores.chunks_exact(count)) {
                for (value, score) in next.iter_mut().zip(score) {
                    *value += score;
                }
                softmax(next, &channels.multiplicity);
            }
        });
        beliefs = next;
    }
    Beliefs { values: beliefs.into_iter().map(|belief| belief as f32).collect(), stride: count }
}

fn softmax(values: &mut [f64], multiplicity: &[f64]) {
    let top = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for (value, many) in values.iter_mut().zip(multiplicity) {
        *value = (*value - top).exp();
        sum += *value * many;
    }
    for value in values {
        *value /= sum;
    }
}
