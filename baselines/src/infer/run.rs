//! Runs the network on every version of an image.

use candle_core::{DType, Device, Tensor};
use candle_wsss::{Baseline, Error, Mode, Normalization, View};
use image::RgbImage;
use image::imageops::flip_horizontal;

use crate::data::resize;
use crate::error::Result;
use crate::infer::config::{InferConfig, MapSource};
use crate::infer::fuse::{NetworkMap, normalize_maps, sum_maps};
use crate::infer::seed_maps::SeedMaps;

/// Seed maps of one image with the image-level labels `labels`, foreground classes in any order.
///
/// Every scale is one run of the network in float32, the plain and the mirrored image as a batch of two. Only the maps of
/// the image's own classes are resized and summed; without a class the network is not run at all.
///
/// # Errors
/// When the configuration is out of range, a label is no foreground class, the image is empty or too small for the
/// network at the smallest scale, or the network's maps are no numbers.
pub fn seeds(
    model: &dyn Baseline,
    image: &RgbImage,
    labels: &[usize],
    config: &InferConfig,
    normalization: Normalization,
    device: &Device,
) -> Result<SeedMaps> {
    config.check()?;
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::value("image", format!("must not be empty, is {width} x {height}")).into());
    }
    let size = (height as usize, width as usize);
    let classes = present_classes(labels, model.spec().layout.num_foreground())?;
    if classes.is_empty() {
        return SeedMaps::new(classes, size.0, size.1, Vec::new());
    }
    let mut maps = Vec::with_capacity(2 * config.scales.len());
    for &scale in &config.scales {
        let (height, width) = (InferConfig::scaled_len(size.0, scale), InferConfig::scaled_len(size.1, scale));
        let scaled = resize(image, width, height, config.image_filter.into());
        let mut batch = vec![normalized(&scaled, normalization, device)?];
        if config.flip {
            batch.push(normalized(&flip_horizontal(&scaled), normalization, device)?);
        }
        let view = View::new(Tensor::stack(&batch, 0)?)?.with_normalization(normalization)?;
        maps.extend(network_maps(model, &view, config.source)?);
    }
    let scores = normalize_maps(&sum_maps(&maps, &classes, size, config.source)?, config.source)?;
    let scores = scores.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
    SeedMaps::new(classes, size.0, size.1, scores)
}

fn present_classes(labels: &[usize], num_foreground: usize) -> Result<Vec<usize>> {
    if let Some(bad) = labels.iter().find(|class| **class >= num_foreground) {
        return Err(Error::value("image labels", format!("must be below {num_foreground}, one is {bad}")).into());
    }
    let mut classes = labels.to_vec();
    classes.sort_unstable();
    classes.dedup();
    Ok(classes)
}

/// The maps of a batch of the plain and perhaps the mirrored image, detached from the network.
fn network_maps(model: &dyn Baseline, view: &View, source: MapSource) -> Result<Vec<NetworkMap>> {
    let output = model.forward(view, Mode::Eval)?;
    output.check(model.spec())?;
    let maps = match source {
        MapSource::Refined => output.seed_cam(),
        MapSource::Softmax => &output.cam,
    };
    let maps = maps.detach();
    let split = |index: usize| Ok(NetworkMap { map: maps.narrow(0, index, 1)?, flipped: index == 1 });
    (0..view.image().dim(0)?).map(split).collect()
}

/// The network's input of an image, `(3, height, width)`.
pub(crate) fn normalized(image: &RgbImage, normalization: Normalization, device: &Device) -> Result<Tensor> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let pixels = image.as_raw();
    let mut values = Vec::with_capacity(pixels.len());
    for channel in 0..3 {
        let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
        // There are only 256 values; the table keeps the division out of the loop.
        let table: Vec<f32> = (0..=u8::MAX).map(|value| ((f64::from(value) / 255.0 - mean) / std) as f32).collect();
        values.extend(pixels.iter().skip(channel).step_by(3).map(|value| table[usize::from(*value)]));
    }
    Ok(Tensor::from_vec(values, (3, height, width), device)?)
}
