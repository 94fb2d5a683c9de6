//! From settings to a folder.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;

use super::camera;
use super::config::SynthConfig;
use super::detector;
use super::draw::Draws;
use super::files::{self, Rendered};
use super::scene::Scene;
use super::truth;
use super::world::World;
use crate::data::VOID;
use crate::error::{Error, Result};

/// What was generated.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Names of the foreground classes.
    pub class_names: Vec<String>,
    /// Figures of split `train`.
    pub train: SplitSummary,
    /// Figures of split `val`.
    pub val: SplitSummary,
}

/// Figures of a split, measured on what was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SplitSummary {
    /// Images.
    pub images: usize,
    /// Objects in all images.
    pub objects: usize,
    /// Images that have each class.
    pub images_per_class: Vec<usize>,
    /// Part of the pixels that is some class.
    pub foreground: f64,
    /// Part of the pixels that is void.
    pub void: f64,
    /// Part of the visible object pixels that is the discriminative part.
    pub part: f64,
    /// Part of the images whose context is the one of the first object's class.
    pub usual_context: f64,
}

/// Images between two reports of progress.
const CHUNK: usize = 64;

/// Generates a data set in VOC layout in the folder `out`, which must be empty or not there yet.
///
/// The same settings give the same bytes, whatever the number of threads; the images of a split do not depend on how
/// many there are, nor on the other split. `progress` is told the images done and all of them. Everything is built
/// beside `out` and renamed at the end, so `out` is whole or not there.
///
/// # Errors
/// When a setting is out of its range, `out` has something in it, or writing fails.
pub fn generate(config: &SynthConfig, out: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<Summary> {
    config.validate()?;
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if out.exists() && !is_empty_folder(out)? {
        return Err(Error::OutputExists(out.to_path_buf()));
    }
    std::fs::create_dir_all(parent).map_err(Error::io(parent))?;
    let building = tempfile::Builder::new().prefix(".synth-").tempdir_in(parent).map_err(Error::io(parent))?;
    // One deeper: the temporary folder itself is closed to everyone but its owner, and would stay so.
    let root = building.path().join("data");
    let summary = fill(config, &root, progress)?;
    if out.exists() {
        std::fs::remove_dir(out).map_err(Error::io(out))?;
    }
    std::fs::rename(&root, out).map_err(Error::io(out))?;
    Ok(summary)
}

fn is_empty_folder(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    Ok(std::fs::read_dir(path).map_err(Error::io(path))?.next().is_none())
}

fn fill(config: &SynthConfig, root: &Path, progress: &mut dyn FnMut(usize, usize)) -> Result<Summary> {
    let world = World::new(config)?;
    let class_names = world.names();
    files::make_folders(root)?;
    let total = config.train + config.val;
    let mut done = 0;
    progress(done, total);
    let mut split = |split: &str, images: usize| -> Result<SplitSummary> {
        let mut facts = Vec::with_capacity(images);
        for start in (0..images).step_by(CHUNK) {
            let chunk: Vec<Result<Facts>> = (start..images.min(start + CHUNK))
                .into_par_iter()
                .map(|index| render(config, &world, split, index, root))
                .collect();
            done += chunk.len();
            facts.extend(chunk.into_iter().collect::<Result<Vec<_>>>()?);
            progress(done, total);
        }
        Ok(summarize(&facts, config.classes))
    };
    let train = split("train", config.train)?;
    let val = split("val", config.val)?;
    let summary = Summary { class_names, train, val };
    files::write_lists(root, config, &summary)?;
    Ok(summary)
}

/// What a summary is made of.
struct Facts {
    classes: Vec<usize>,
    objects: usize,
    pixels: usize,
    foreground: usize,
    void: usize,
    visible: usize,
    part_visible: usize,
    is_usual_context: bool,
}

fn render(config: &SynthConfig, world: &World, split: &str, index: usize, root: &Path) -> Result<Facts> {
    let draws = Draws::new(config.seed).child(split);
    // Every class comes first once in a run of as many images as there are classes.
    let round = draws.child(&format!("round/{}", index / config.classes)).permutation(config.classes)?;
    let draws = draws.child(&format!("image/{index}"));
    let scene = Scene::draw(config, world, round[index % config.classes], &draws)?;
    let mask = truth::mask(&scene);
    let objects = truth::objects(&scene, &mask, &world.names());
    let sum = |count: fn(&super::scene::Thing) -> usize| {
        scene.things.iter().filter(|thing| thing.class.is_some()).map(count).sum()
    };
    let facts = Facts {
        classes: mask.classes(),
        objects: objects.len(),
        pixels: mask.data.len(),
        foreground: mask.data.iter().filter(|&&value| value != 0 && value != VOID).count(),
        void: mask.data.iter().filter(|&&value| value == VOID).count(),
        visible: sum(|thing| thing.visible),
        part_visible: sum(|thing| thing.part_visible),
        is_usual_context: scene.is_usual_context,
    };
    let rendered = Rendered {
        name: files::image_name(split, index),
        image: camera::shoot(&scene.canvas, config, &draws)?,
        saliency: detector::detect(&scene, config, &draws)?,
        mask,
        objects,
    };
    rendered.write(root, config)?;
    Ok(facts)
}

fn summarize(facts: &[Facts], classes: usize) -> SplitSummary {
    let sum = |count: fn(&Facts) -> usize| facts.iter().map(count).sum::<usize>();
    let share = |part: usize, all: usize| part as f64 / all.max(1) as f64;
    let pixels = sum(|facts| facts.pixels);
    SplitSummary {
        images: facts.len(),
        objects: sum(|facts| facts.objects),
        images_per_class: (0..classes)
            .map(|class| facts.iter().filter(|facts| facts.classes.contains(&class)).count())
            .collect(),
        foreground: share(sum(|facts| facts.foreground), pixels),
        void: share(sum(|facts| facts.void), pixels),
        part: share(sum(|facts| facts.part_visible), sum(|facts| facts.visible)),
        usual_context: share(sum(|facts| usize::from(facts.is_usual_context)), facts.len()),
    }
}
