//! Evaluation: parity with the released code, the sweep against a naive evaluation, statistics, bad input.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod numbers;
mod parity;
mod statistics;
mod sweep;

use candle_wsss::{Sampler, SeededSampler};
use candle_wsss_baselines::infer::SeedMaps;

/// Seed maps and ground truth of one random image: scores quantised so that ties between classes and with thresholds
/// are common, some negative, and void pixels among the ground truth.
pub(crate) fn random_image(seed: u64, num_classes: usize, pixels: (usize, usize)) -> (Vec<u8>, SeedMaps) {
    let root = SeededSampler::new(seed);
    let len = pixels.0 * pixels.1;
    let draw = |scope: &str, len: usize| root.child(scope).uniform(len).unwrap();
    let classes: Vec<usize> =
        (0..num_classes - 1).zip(draw("classes", num_classes - 1)).filter(|(_, u)| *u < 0.4).map(|(c, _)| c).collect();
    let maps: Vec<f32> =
        draw("maps", classes.len() * len).into_iter().map(|u| ((u * 14.0).floor() / 10.0 - 0.2) as f32).collect();
    let truth = draw("truth", len)
        .into_iter()
        .map(|u| if u < 0.1 { 255 } else { ((u - 0.1) / 0.9 * num_classes as f64) as u8 })
        .collect();
    (truth, SeedMaps::new(classes, pixels.0, pixels.1, maps).unwrap())
}
