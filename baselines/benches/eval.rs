//! Evaluation of seeds, all background scores in one pass: `cargo bench --bench eval`.
//!
//! Images of 375 x 500 with one to three of twenty classes, as the scores and masks of a real split are. Prints a JSON line
//! per measurement, CPU milliseconds per image; `benches/peer/eval.py` prints those of the same name for the usual way,
//! one pass per score and class. Where a line says counting, scores and masks are in memory already.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Instant;

use candle_wsss::SeededSampler;
use candle_wsss_baselines::data::{Mask, VOID, read_mask, write_mask};
use candle_wsss_baselines::eval::{
    AbsentClass, BootstrapConfig, ClassCounts, Confusion, ImageHistogram, Sweep, ThresholdGrid, bootstrap_mean_iou,
    cross_fit,
};
use candle_wsss_baselines::infer::{Precision, SeedMaps, read_seeds, write_seeds};
use candle_wsss_baselines::{Error, Result};

/// As the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const HEIGHT: usize = 375;
const WIDTH: usize = 500;
const CLASSES: usize = 21;
const IMAGES: usize = 300;
/// Different ones; the others are these again.
const SCENES: usize = 12;
/// Training images of VOC with the additional ones.
const LARGE_SPLIT: usize = 10_582;

fn main() -> Result<()> {
    let scenes: Vec<(SeedMaps, Mask)> = (0..SCENES).map(scene).collect::<Result<_>>()?;
    let labels: Vec<Vec<u8>> = scenes.iter().map(|(maps, _)| maps.labels(0.3)).collect();
    let sweep = Sweep::new(CLASSES, ThresholdGrid::default().thresholds()?)?;
    let images = counting(&scenes, &labels, &sweep)?;
    with_files(&scenes, &labels, &sweep)?;
    statistics(&sweep, &images)
}

fn counting(scenes: &[(SeedMaps, Mask)], labels: &[Vec<u8>], sweep: &Sweep) -> Result<Vec<ImageHistogram>> {
    let mut whole = sweep.clone();
    let mut images = Vec::with_capacity(IMAGES);
    measured("curve of 60 background scores, counting", IMAGES, || {
        for index in 0..IMAGES {
            let (maps, mask) = &scenes[index % SCENES];
            let image = sweep.image(&mask.data, maps)?;
            whole.add_image(&image)?;
            images.push(image);
        }
        Ok(whole.curve().best(AbsentClass::AsZero).map(|best| best.mean_iou))
    })?;
    measured("label maps, counting", IMAGES, || {
        let mut confusion = Confusion::new(CLASSES);
        for index in (0..IMAGES).map(|index| index % SCENES) {
            confusion.add(&scenes[index].1.data, &labels[index])?;
        }
        Ok(confusion.mean_iou(AbsentClass::AsZero))
    })?;
    Ok(images)
}

fn with_files(scenes: &[(SeedMaps, Mask)], labels: &[Vec<u8>], sweep: &Sweep) -> Result<()> {
    let folder = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    let path = |index: usize, kind: &str| folder.path().join(format!("{index}.{kind}"));
    for (index, ((maps, mask), labels)) in scenes.iter().zip(labels).enumerate() {
        write_seeds(&path(index, "safetensors"), maps, Precision::Half)?;
        write_mask(path(index, "png"), mask)?;
        let labels = Mask { width: mask.width, height: mask.height, data: labels.clone() };
        write_mask(path(index, "labels.png"), &labels)?;
    }
    let every = || (0..IMAGES).map(|index| index % SCENES);
    measured("curve of 60 background scores", IMAGES, || {
        let mut whole = sweep.clone();
        for index in every() {
            whole.add(&read_mask(path(index, "png"))?.data, &read_seeds(&path(index, "safetensors"))?)?;
        }
        Ok(whole.curve().best(AbsentClass::AsZero).map(|best| best.mean_iou))
    })?;
    measured("label maps", IMAGES, || {
        let mut confusion = Confusion::new(CLASSES);
        for index in every() {
            confusion.add(&read_mask(path(index, "png"))?.data, &read_mask(path(index, "labels.png"))?.data)?;
        }
        Ok(confusion.mean_iou(AbsentClass::AsZero))
    })?;
    measured("reading the scores", IMAGES, || {
        every().try_for_each(|index| read_seeds(&path(index, "safetensors")).map(drop))?;
        Ok(None)
    })?;
    measured("reading a mask", IMAGES, || {
        every().try_for_each(|index| read_mask(path(index, "png")).map(drop))?;
        Ok(None)
    })
}

fn statistics(sweep: &Sweep, images: &[ImageHistogram]) -> Result<()> {
    let many: Vec<_> = (0..LARGE_SPLIT).map(|index| images[index % IMAGES].clone()).collect();
    let mut counts: Vec<ClassCounts> = Vec::new();
    measured("held-out score of 10582 images", LARGE_SPLIT, || {
        let Some(fit) = cross_fit(sweep, &many, 2, AbsentClass::AsZero)? else { return Ok(None) };
        counts = fit.images;
        Ok(fit.confusion.mean_iou(AbsentClass::AsZero))
    })?;
    measured("interval of 10582 images, 1000 draws", LARGE_SPLIT, || {
        let config = BootstrapConfig { resamples: 1000, ..BootstrapConfig::default() };
        let mut sampler = SeededSampler::new(0);
        Ok(Some(bootstrap_mean_iou(&counts, AbsentClass::AsZero, config, &mut sampler)?.upper))
    })
}

fn measured(what: &str, images: usize, work: impl FnOnce() -> Result<Option<f64>>) -> Result<()> {
    let (wall, cpu) = (Instant::now(), cpu_seconds());
    let result = work()?;
    let wall = wall.elapsed().as_secs_f64();
    // Where the system does not say, the time that passed is the most it can have been on one thread.
    let spent = cpu.zip(cpu_seconds()).map_or(wall, |(before, after)| after - before);
    let line = serde_json::json!({
        "what": what, "ms_cpu": 1e3 * spent / images as f64, "ms_wall": 1e3 * wall / images as f64, "images": images,
        "result": result,
    });
    println!("{line}");
    Ok(())
}

// Of all threads, from the first field of their schedstat, in nanoseconds.
fn cpu_seconds() -> Option<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir("/proc/self/task").ok()?.flatten() {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        sum += text.split_whitespace().next()?.parse::<f64>().ok()? * 1e-9;
    }
    Some(sum)
}

// Soft blobs; their rims are void.
fn scene(index: usize) -> Result<(SeedMaps, Mask)> {
    let count = 1 + index % 3;
    let mut classes: Vec<usize> = (0..count).map(|blob| (7 * index + 5 * blob) % (CLASSES - 1)).collect();
    classes.sort_unstable();
    let mut truth = vec![0u8; HEIGHT * WIDTH];
    let mut maps = Vec::with_capacity(count * truth.len());
    for (blob, class) in classes.iter().enumerate() {
        let x = WIDTH as f32 * (0.3 + 0.4 * blob as f32 / count as f32);
        let y = HEIGHT as f32 * (0.35 + 0.1 * ((index + blob) % 4) as f32);
        for (pixel, label) in truth.iter_mut().enumerate() {
            let (row, column) = ((pixel / WIDTH) as f32, (pixel % WIDTH) as f32);
            let distance = ((column - x) / 90.0).hypot((row - y) / 70.0);
            maps.push((1.3 - distance).clamp(0.0, 1.0));
            match distance {
                near if near < 0.9 => *label = u8::try_from(class + 1).unwrap_or(VOID),
                rim if rim < 0.95 => *label = VOID,
                _ => {}
            }
        }
    }
    Ok((SeedMaps::new(classes, HEIGHT, WIDTH, maps)?, Mask { width: WIDTH, height: HEIGHT, data: truth }))
}
