//! What an off-the-shelf saliency detector would make of a scene, faults included. It knows no classes.

use super::config::SynthConfig;
use super::draw::Draws;
use super::paint::{Rgb, ValueNoise};
use super::scene::Scene;
use crate::error::Result;

/// Part of the image above which a thing is not missed for its size.
const LARGE: f32 = 0.1;
/// Distance of mean colours above which a thing is not missed for its looks.
const CLEAR: f32 = 0.3;
/// Margin around a thing's box that counts as its surroundings, as part of the box.
const SURROUNDINGS: f32 = 0.3;
/// Size of a blotch of error, as part of the shorter side.
const BLOTCH: f32 = 0.2;
/// Slope of the response at one half: detectors are sure of themselves on either side of an outline.
const SHARPNESS: f32 = 2.0;

/// The saliency map of a scene, gray levels: 255 where something stands out.
///
/// Objects that are small or faint may go unseen, things of no class may be found, outlines are as coarse as the
/// detector's grid, and blotches of error move them. Every fault has a setting, and draws from a stream of its own.
pub(super) fn detect(scene: &Scene, config: &SynthConfig, draws: &Draws) -> Result<Vec<u8>> {
    let draws = draws.child("saliency");
    let (width, height) = (scene.canvas.width, scene.canvas.height);
    let side = width.min(height) as f32;
    let error = config.saliency_error as f32;
    let levels = response(scene, config, &draws)?;
    let cell = ((config.saliency_coarseness as f32 * side).round() as usize).max(1);
    let mut grid = Grid::mean_of(&levels, width, cell);
    let noise = ValueNoise::new(&mut draws.child("error"))?;
    let scale = cell as f32 / (BLOTCH * side);
    for (i, level) in grid.values.iter_mut().enumerate() {
        let (x, y) = ((i % grid.columns) as f32, (i / grid.columns) as f32);
        *level = (1.0 - error) * *level + error * noise.rough(x * scale, y * scale);
    }
    let byte = |i: usize| {
        let level = 0.5 + SHARPNESS * (grid.at(i % width, i / width) - 0.5);
        (255.0 * level + 0.5).clamp(0.0, 255.0) as u8
    };
    Ok((0..width * height).map(byte).collect())
}

/// Per pixel how much what is there stands out: 0 for the background and for what goes unseen.
fn response(scene: &Scene, config: &SynthConfig, draws: &Draws) -> Result<Vec<f32>> {
    let things = scene.things.len();
    // Numbers of the scene: 0 the background, then objects and what stands before them, then what lies about.
    let regions: Vec<usize> = scene
        .owners()
        .zip(&scene.scattered)
        .map(|(owner, scattered)| match (owner, usize::from(*scattered)) {
            (0, 0) => 0,
            (0, thing) => things + thing,
            (owner, _) => owner,
        })
        .collect();
    let count = regions.iter().max().map_or(0, |highest| highest + 1);
    let mut levels = vec![0.0; count];
    for (region, level) in levels.iter_mut().enumerate().skip(1) {
        let Some(sight) = Sight::of(&regions, region, scene) else { continue };
        let mut draws = draws.child(&format!("thing/{region}"));
        let is_object = scene.things.get(region - 1).is_some_and(|thing| thing.class.is_some());
        let probability = if is_object {
            1.0 - config.saliency_misses * f64::from(1.0 - sight.prominence())
        } else {
            config.saliency_distractors * f64::from(sight.contrast)
        };
        let is_found = draws.chance(probability)?;
        let doubt = config.saliency_error as f32 * draws.unit()?;
        *level = if is_found { 1.0 - doubt } else { 0.0 };
    }
    Ok(regions.into_iter().map(|region| levels[region]).collect())
}

/// How a thing looks from where the camera is; both from 0 to 1.
struct Sight {
    size: f32,
    contrast: f32,
}

impl Sight {
    fn prominence(&self) -> f32 {
        (self.size * self.contrast).sqrt()
    }

    /// `None` for a thing that is out of view, or all there is to see.
    fn of(regions: &[usize], region: usize, scene: &Scene) -> Option<Self> {
        let width = scene.canvas.width;
        let mut own = Mean::default();
        let (mut left, mut right, mut top, mut bottom) = (width, 0, regions.len(), 0);
        for at in (0..regions.len()).filter(|at| regions[*at] == region) {
            own.add(scene.canvas.pixels[at]);
            let (x, y) = (at % width, at / width);
            (left, right, top, bottom) = (left.min(x), right.max(x), top.min(y), bottom.max(y));
        }
        let color = own.value()?;
        let reach = |from: usize, to: usize| 1 + (SURROUNDINGS * (to - from + 1) as f32) as usize;
        let (across, down) = (reach(left, right), reach(top, bottom));
        let columns = left.saturating_sub(across)..(right + across + 1).min(width);
        let mut around = Mean::default();
        for y in top.saturating_sub(down)..(bottom + down + 1).min(scene.canvas.height) {
            for at in columns.clone().map(|x| y * width + x).filter(|at| regions[*at] != region) {
                around.add(scene.canvas.pixels[at]);
            }
        }
        let around = around.value()?;
        let distance = (0..3).map(|i| (color[i] - around[i]).powi(2)).sum::<f32>().sqrt();
        let size = own.count / (LARGE * regions.len() as f32);
        Some(Self { size: size.min(1.0), contrast: (distance / CLEAR).min(1.0) })
    }
}

#[derive(Default)]
struct Mean {
    sum: Rgb,
    count: f32,
}

impl Mean {
    fn add(&mut self, color: Rgb) {
        for (sum, value) in self.sum.iter_mut().zip(color) {
            *sum += value;
        }
        self.count += 1.0;
    }

    fn value(&self) -> Option<Rgb> {
        (self.count > 0.0).then(|| self.sum.map(|sum| sum / self.count))
    }
}

/// Square cells over a picture; those at the right and bottom edge may reach beyond it.
struct Grid {
    columns: usize,
    cell: usize,
    values: Vec<f32>,
}

impl Grid {
    fn mean_of(map: &[f32], width: usize, cell: usize) -> Self {
        let (columns, rows) = (width.div_ceil(cell), (map.len() / width).div_ceil(cell));
        let mut sums = vec![(0.0, 0.0); columns * rows];
        for (at, value) in map.iter().enumerate() {
            let (sum, count) = &mut sums[at / width / cell * columns + at % width / cell];
            *sum += value;
            *count += 1.0;
        }
        Self { columns, cell, values: sums.into_iter().map(|(sum, count): (f32, f32)| sum / count).collect() }
    }

    /// Bilinear between the middles of cells.
    fn at(&self, x: usize, y: usize) -> f32 {
        let rows = self.values.len() / self.columns;
        let tap = |at: usize, cells: usize| {
            let place = ((at as f32 + 0.5) / self.cell as f32 - 0.5).clamp(0.0, (cells - 1) as f32);
            let low = place as usize;
            (low, (low + 1).min(cells - 1), place - low as f32)
        };
        let (left, right, across) = tap(x, self.columns);
        let (top, bottom, down) = tap(y, rows);
        let row = |y: usize| {
            let (left, right) = (self.values[y * self.columns + left], self.values[y * self.columns + right]);
            left + (right - left) * across
        };
        row(top) + (row(bottom) - row(top)) * down
    }
}
