//! What is known about a scene: mask, boxes.

use super::scene::Scene;
use crate::data::{BACKGROUND, BoundingBox, Mask, Object, VOID};

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
