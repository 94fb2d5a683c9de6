//! What is known about a scene: mask, boxes, saliency.

use super::config::SynthConfig;
use super::draw::Draws;
use super::paint::ValueNoise;
use super::scene::Scene;
use crate::data::{BACKGROUND, BoundingBox, Mask, Object, VOID};
use crate::error::Result;

/// The mask, with a void rim one pixel wide wherever two things meet.
pub(super) fn mask(scene: &Scene) -> Mask {
    let (width, height) = (scene.canvas.width, scene.canvas.height);
    let owners: Vec<usize> = scene.owners().collect();
    // What stands in front is background like the rest of it, but an object's edge against it is an edge.
    let label = |owner: usize| match owner.checked_sub(1).and_then(|thing| scene.things[thing].class) {
        Some(class) => class as u8 + 1,
        None => BACKGROUND,
    };
    let data = (0..width * height)
        .map(|at| {
            let here = owners[at];
            let is_rim = |other: usize| other != here && (label(here) != BACKGROUND || label(other) != BACKGROUND);
            let right = at % width + 1 < width && is_rim(owners[at + 1]);
            let below = at + width < owners.len() && is_rim(owners[at + width]);
            if right || below { VOID } else { label(here) }
        })
        .collect();
    Mask { width, height, data }
}

/// The objects with at least one pixel in the mask, with the boxes of what is in view.
pub(super) fn objects(scene: &Scene, mask: &Mask, names: &[String]) -> Vec<Object> {
    let owners: Vec<usize> = scene.owners().collect();
    let mut objects = Vec::new();
    for (thing, class) in scene.things.iter().enumerate().filter_map(|(i, thing)| Some((i, thing.class?))) {
        let pixels = || (0..owners.len()).filter(|&at| owners[at] == thing + 1);
        if pixels().all(|at| mask.data[at] == VOID) {
            continue;
        }
        let first = BoundingBox { x_min: mask.width, y_min: mask.height, x_max: 1, y_max: 1 };
        let bounds = pixels().fold(first, |bounds, at| {
            let (x, y) = (at % mask.width + 1, at / mask.width + 1);
            BoundingBox {
                x_min: bounds.x_min.min(x),
                y_min: bounds.y_min.min(y),
                x_max: bounds.x_max.max(x),
                y_max: bounds.y_max.max(y),
            }
        });
        let thing = &scene.things[thing];
        // VOC calls an object truncated when its box is not that of all of it.
        let truncated = (thing.visible as f32) < 0.95 * thing.area as f32;
        objects.push(Object { class: names[class].clone(), bounds, truncated });
    }
    objects
}

/// Bright where an object is, soft at the edges, and wrong to the degree asked for: objects found too faint, things in
/// front found too, glimmer in the background.
pub(super) fn saliency(scene: &Scene, config: &SynthConfig, draws: &Draws) -> Result<Vec<u8>> {
    let mut draws = draws.child("saliency");
    let (width, height) = (scene.canvas.width, scene.canvas.height);
    let error = config.saliency_error as f32;
    let mut levels = vec![0.0];
    for thing in &scene.things {
        let wrong = error * draws.unit()?;
        levels.push(if thing.class.is_some() { 1.0 - wrong } else { wrong });
    }
    let mut map: Vec<f32> = scene.owners().map(|owner| levels[owner]).collect();
    let radius = (width.min(height) / 40).max(1);
    for _ in 0..2 {
        map = blur_columns(&blur_rows(&map, width, radius), width, radius);
    }
    let noise = ValueNoise::new(&mut draws)?;
    let size = 0.12 * width.min(height) as f32;
    let at = |i: usize| noise.rough((i % width) as f32 / size, (i / width) as f32 / size);
    debug_assert_eq!(map.len(), width * height, "one level a pixel");
    Ok(map.iter().enumerate().map(|(i, level)| (255.0 * ((1.0 - error) * level + error * at(i)) + 0.5) as u8).collect())
}

fn blur_rows(map: &[f32], width: usize, radius: usize) -> Vec<f32> {
    map.chunks_exact(width).flat_map(|row| (0..width).map(|x| mean(radius, x, width, |i| row[i]))).collect()
}

fn blur_columns(map: &[f32], width: usize, radius: usize) -> Vec<f32> {
    let height = map.len() / width;
    (0..map.len()).map(|at| mean(radius, at / width, height, |y| map[y * width + at % width])).collect()
}

fn mean(radius: usize, center: usize, len: usize, value: impl Fn(usize) -> f32) -> f32 {
    let window = center.saturating_sub(radius)..(center + radius + 1).min(len);
    let count = window.len() as f32;
    window.map(value).sum::<f32>() / count
}
