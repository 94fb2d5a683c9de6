//! The page of one training: its curves, its time, and what the network was given. It opens no mask.

use std::sync::Arc;

use candle_core::DType;
use candle_wsss::View;
use image::RgbImage;

use crate::data::{Batch, Loader, color_map};
use crate::error::Result;
use crate::report::{GalleryRow, Layer, Pen, PictureFormat, ReportClass, TrainingPage};
use crate::run::job::{CHECKPOINT_FILE, Pace, StepRecord, TrainJob, TrainOutcome};
use crate::run::report::{losses, omitted};

/// Crops on the page.
const CROPS: usize = 12;
/// Batches they are looked for in: one of few images should not make the page of a large crop slow.
const BATCHES: usize = 3;
/// Longest side of a crop on the page, pixels.
const CROP_SIDE: u32 = 224;
/// Points of the curve of the learning rate.
const RATES: usize = 200;

/// The page of a training that has come as far as `history`; with `outcome`, its times as well.
///
/// # Errors
/// When the configuration is out of range or an image cannot be read.
pub fn training_page(
    job: &TrainJob<'_>,
    history: &[StepRecord],
    outcome: Option<&TrainOutcome>,
) -> Result<TrainingPage> {
    let loader = Loader::new(Arc::clone(&job.images), job.config.loader.clone(), job.seed, job.device)?;
    let total = job.config.train.total_steps(loader.steps_per_epoch());
    let every = history.len().div_ceil(RATES).max(1);
    let images = &job.images;
    let mut labelled = vec![0; images.class_names().len()];
    (0..images.len()).flat_map(|index| images.labels(index)).for_each(|class| labelled[*class] += 1);
    let classes: Vec<ReportClass> = images
        .class_names()
        .iter()
        .zip(color_map().into_iter().skip(1))
        .map(|(name, color)| ReportClass { name: name.clone(), color })
        .collect();
    let last = history.last().and_then(|record| record.total);
    Ok(TrainingPage {
        title: format!("Training of {} with {}", job.config.baseline.name(), regularizers(job)),
        summary: format!(
            "{} of {total} steps of {} images, {} images with image-level labels{}",
            history.len(),
            job.config.loader.batch_size,
            images.len(),
            last.map_or_else(String::new, |loss| format!("; loss at last {loss:.4}"))
        ),
        losses: losses(history),
        learning_rate: history.iter().step_by(every).map(|record| (record.step, record.learning_rate)).collect(),
        omitted: omitted(history),
        step_times: outcome.map_or_else(Vec::new, step_times),
        classes: classes.into_iter().zip(labelled).collect(),
        images: images.len(),
        crops: crops(&loader, total)?,
        facts: facts(job, outcome),
        reproduce: Vec::new(),
        config: job.config.to_toml()?,
    })
}

fn regularizers(job: &TrainJob<'_>) -> String {
    let names: Vec<&str> = job.regularizers.iter().map(|regularizer| regularizer.name()).collect();
    if names.is_empty() { "no regularizer".to_string() } else { names.join(", ") }
}

fn step_times(outcome: &TrainOutcome) -> Vec<(String, f64)> {
    if outcome.pace.steps == 0 {
        return Vec::new();
    }
    let (times, pace) = (&outcome.times, &outcome.pace);
    let waiting = pace.waiting.as_secs_f64() / pace.steps as f64;
    let own = [times.forward, times.objective, times.backward, times.update].map(|time| time.as_secs_f64());
    let whole = pace.elapsed.as_secs_f64() / pace.steps as f64;
    let rest = (whole - waiting - own.iter().sum::<f64>()).max(0.0);
    let names = ["waiting for images", "forward", "loss terms", "backward", "update", "checkpoints and the rest"];
    let values = [waiting].into_iter().chain(own).chain([rest]);
    names.iter().zip(values).map(|(name, seconds)| ((*name).to_string(), 1e3 * seconds)).collect()
}

fn facts(job: &TrainJob<'_>, outcome: Option<&TrainOutcome>) -> Vec<(String, String)> {
    let mut facts = vec![
        ("Data set", job.images.root().display().to_string()),
        ("Ground truth", "none: training opens no mask".to_string()),
        ("Seed", job.seed.to_string()),
        ("Weights at the start", job.config.weights.clone().unwrap_or_else(|| "none".to_string())),
        ("Checkpoint", job.folder.join(CHECKPOINT_FILE).display().to_string()),
        ("Version", env!("CARGO_PKG_VERSION").to_string()),
    ];
    if let Some(Pace { steps, elapsed, .. }) = outcome.map(|outcome| outcome.pace).filter(|pace| pace.steps > 0) {
        facts.push(("Time", format!("{:.1} s for the {steps} steps of this process", elapsed.as_secs_f64())));
    }
    if let Some(names) = outcome.map(|outcome| &outcome.unreached).filter(|names| !names.is_empty()) {
        facts.push(("No gradient in the first step", names.join(", ")));
    }
    facts.into_iter().map(|(name, value)| (name.to_string(), value)).collect()
}

// The first the training saw; the same for the same seed.
fn crops(loader: &Loader, total: usize) -> Result<Vec<GalleryRow>> {
    let mut rows = Vec::new();
    for step in 0..total.min(BATCHES) {
        if rows.len() < CROPS {
            rows.extend(crops_of(&loader.batch(step)?)?);
        }
    }
    rows.truncate(CROPS);
    Ok(rows)
}

fn crops_of(batch: &Batch) -> Result<Vec<GalleryRow>> {
    let view = &batch.views.source;
    let images = colors(view)?;
    let saliency = match view.saliency() {
        Some(map) => Some(map.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?),
        None => None,
    };
    let pen = Pen { palette: &[], max_side: CROP_SIDE, format: PictureFormat::Jpeg };
    let mut rows = Vec::new();
    for (index, (image, name)) in images.iter().zip(&batch.names).enumerate() {
        let mut layers = vec![Layer::Image];
        let pixels = image.width() as usize * image.height() as usize;
        layers.extend(saliency.iter().map(|map| Layer::Heat(&map[index * pixels..(index + 1) * pixels])));
        let mut row = GalleryRow::draw(name, batch.labels.of_image(index), image, &layers, pen)?;
        row.set_caption(1, "saliency");
        rows.push(row);
    }
    Ok(rows)
}

/// The images of a view in the colours they had before they were normalised.
fn colors(view: &View) -> Result<Vec<RgbImage>> {
    let (_, _, height, width) = view.image().dims4()?;
    let (mean, std) = (view.normalization().mean, view.normalization().std);
    let values = view.image().to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    let plane = height * width;
    let image = |planes: &[f32]| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let at = y as usize * width + x as usize;
            image::Rgb(std::array::from_fn(|channel| {
                let value = f64::from(planes[channel * plane + at]) * std[channel] + mean[channel];
                (255.0 * value).round().clamp(0.0, 255.0) as u8
            }))
        })
    };
    Ok(values.chunks_exact((3 * plane).max(1)).map(image).collect())
}
