//! Labels from the posterior of the classes and a saliency map, with pixels left open: RCA's released rules.

use image::GrayImage;

use crate::crf::config::SaliencyRules;
use crate::crf::refine::CrfPosterior;
use crate::data::{BACKGROUND, VOID};

/// The palette index of every pixel. The map has the size of the posterior.
///
/// The background's score is `1 - saliency`; the posterior of the background is not used.
pub(super) fn labels(posterior: &CrfPosterior, saliency: &GrayImage, rules: &SaliencyRules) -> Vec<u8> {
    let maps = &posterior.classes;
    let pixels = maps.height() * maps.width();
    let rows: Vec<(u8, &[f32])> = maps
        .classes()
        .iter()
        .filter_map(|class| Some((u8::try_from(class + 1).unwrap_or(VOID), maps.map(*class)?)))
        .collect();
    let (conflict, confident) = (rules.conflict_above as f32, rules.confident_above as f32);
    let mut labels = Vec::with_capacity(pixels);
    for (pixel, level) in saliency.as_raw().iter().enumerate().take(pixels) {
        let background = 1.0 - f32::from(*level) / f32::from(u8::MAX);
        let mut best = (background, BACKGROUND);
        let mut above = usize::from(background > conflict);
        let mut is_open = *level >= rules.salient_from;
        for (label, map) in &rows {
            let score = map[pixel];
            above += usize::from(score > conflict);
            is_open |= score > confident;
            if score > best.0 {
                best = (score, *label);
            }
        }
        let contradicts = above > 1 || (best.1 == BACKGROUND && is_open);
        labels.push(if contradicts { VOID } else { best.1 });
    }
    let foreground = labels.iter().filter(|label| **label != BACKGROUND && **label != VOID).count();
    if (foreground as f64) < rules.min_foreground * pixels as f64 {
        labels.fill(VOID);
    }
    labels
}
