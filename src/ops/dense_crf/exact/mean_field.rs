//! Mean-field iterations of one image. Float64, a map for each channel.

use std::ops::Range;

use rayon::prelude::*;

use super::kernel::{BLOCK, PairwiseKernel};
use crate::ops::dense_crf::channels::{Beliefs, Channels};

/// `Q = softmax(-U + Σ_j w_ij Q_j)`, so many times, from `Q = softmax(-U)`: the belief in *one* label of each channel.
///
/// The unaries of several views share each product with the weights.
pub(in crate::ops::dense_crf) fn mean_field<const V: usize>(
    kernel: &PairwiseKernel,
    views: [&Channels<f64>; V],
    iterations: usize,
) -> [Beliefs; V] {
    let pixels = kernel.len();
    let scores: Vec<f64> = views.iter().flat_map(|view| maps(view, pixels)).collect();
    let rows: usize = views.iter().map(|view| view.stride).sum();
    let mut beliefs = scores.clone();
    decide(&mut beliefs, &views, pixels);
    let blocks: Vec<Range<usize>> =
        (0..pixels).step_by(BLOCK).map(|first| first..(first + BLOCK).min(pixels)).collect();
    for _ in 0..iterations {
        // Parallel over the pixels that receive: every sum runs over all pixels in their order, whatever the threads.
        let next = |range: &Range<usize>| {
            let own = |map: &[f64]| map[range.clone()].to_vec();
            let mut sums: Vec<f64> = scores.chunks_exact(pixels).flat_map(own).collect();
            kernel.add_messages(range.clone(), &beliefs, rows, &mut sums);
            decide(&mut sums, &views, range.len());
            sums
        };
        let parts: Vec<Vec<f64>> = blocks.par_iter().map(next).collect();
        for (range, part) in blocks.iter().zip(&parts) {
            for (map, part) in beliefs.chunks_exact_mut(pixels).zip(part.chunks_exact(range.len())) {
                map[range.clone()].copy_from_slice(part);
            }
        }
    }
    let mut first = 0;
    views.map(|view| {
        let maps = &beliefs[first * pixels..(first + view.stride) * pixels];
        first += view.stride;
        let pixel = |i: usize| maps.chunks_exact(pixels).map(move |map| map[i] as f32);
        Beliefs { values: (0..pixels).flat_map(pixel).collect(), stride: view.stride }
    })
}

// The scores, a map a channel.
fn maps(view: &Channels<f64>, pixels: usize) -> Vec<f64> {
    let channel = |channel: usize| view.scores.chunks_exact(view.stride).map(move |scores| scores[channel]);
    let maps: Vec<f64> = (0..view.stride).flat_map(channel).collect();
    debug_assert_eq!(maps.len(), pixels * view.stride);
    maps
}

// Replaces the scores of `width` pixels by beliefs, view by view.
fn decide(scores: &mut [f64], views: &[&Channels<f64>], width: usize) {
    let mut rest = scores;
    let (mut tops, mut sums) = (vec![0.0; width], vec![0.0; width]);
    for view in views {
        let (own, others) = rest.split_at_mut(view.stride * width);
        rest = others;
        tops.fill(f64::NEG_INFINITY);
        sums.fill(0.0);
        for map in own.chunks_exact(width.max(1)) {
            for (top, &value) in tops.iter_mut().zip(map) {
                *top = if value > *top { value } else { *top };
            }
        }
        for (map, many) in own.chunks_exact_mut(width.max(1)).zip(&view.multiplicity) {
            for ((value, top), sum) in map.iter_mut().zip(&tops).zip(&mut sums) {
                *value = (*value - top).exp();
                *sum += *value * many;
            }
        }
        for map in own.chunks_exact_mut(width.max(1)) {
            for (value, sum) in map.iter_mut().zip(&sums) {
                *value /= sum;
            }
        }
    }
}
