//! Runs the network on every version of an image.

use std::borrow::Cow;

use candle_core::{DType, Device, Tensor};
use candle_wsss::{Baseline, Error, Mode, Normalization, View};
use image::RgbImage;
use image::imageops::flip_horizontal;

use crate::backbone::is_too_small;
use crate::data::resize;
use crate::error::Result;
use crate::infer::config::{InferConfig, MapSource};
use crate::infer::fuse::{GridSums, NetworkMap};
use crate::infer::grid_seeds::{Grid, GridSeeds};
use crate::infer::seed_maps::SeedMaps;

/// Seeds of an image, and what could not be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Inference {
    /// The maps of the image's classes, at the resolution of the network.
    pub seeds: GridSeeds,
    /// Scales at which the image is too small for the network. The seeds are those of the others.
    pub left_out: Vec<f64>,
}

/// Seed maps of one image with the image-level labels `labels`, foreground classes in any order.
///
/// # Errors
/// Those of [`infer_image`].
pub fn seeds(
    model: &dyn Baseline,
    image: &RgbImage,
    labels: &[usize],
    config: &InferConfig,
    normalization: Normalization,
    device: &Device,
) -> Result<SeedMaps> {
    infer_image(model, image, labels, config, normalization, device)?.seeds.seed_maps()
}

/// Seeds of one image with the image-level labels `labels`, foreground classes in any order.
///
/// Every scale is a run of the network in float32, and another of the mirrored image: both at once where the image is so
/// small that reading the weights takes a good part of the time, else one after the other, in half the memory. Only the
/// maps of the image's own classes are kept; without a class the network is not run at all. A scale at which the image is
/// smaller than the network can take is left out.
///
/// # Errors
/// When the configuration is out of range, a label is no foreground class, the image is empty or too small for the
/// network at every scale or too large for its scores to be kept, or the network's maps are no numbers.
pub fn infer_image(
    model: &dyn Baseline,
    image: &RgbImage,
    labels: &[usize],
    config: &InferConfig,
    normalization: Normalization,
    device: &Device,
) -> Result<Inference> {
    config.check()?;
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        return Err(Error::value("image", format!("must not be empty, is {width} x {height}")).into());
    }
    let size = (height as usize, width as usize);
    let classes = present_classes(labels, model.spec().layout.num_foreground())?;
    SeedMaps::check_size(classes.len(), size)?;
    if classes.is_empty() {
        return Ok(Inference {
            seeds: GridSeeds::new(classes, size, config.source, Vec::new())?,
            left_out: Vec::new(),
        });
    }
    let (mut sums, mut left_out) = (GridSums::new(&classes, config.source), Vec::new());
    for &scale in &config.scales {
        let scaled = scaled(image, scale, config);
        let versions = versions(&scaled, config.flip);
        let together = if pixels_of(&scaled) <= TOGETHER { versions.len() } else { 1 };
        for versions in versions.chunks(together) {
            let inputs = versions.iter().map(|(_, input)| normalized(input, normalization, device));
            let view = View::new(Tensor::stack(&inputs.collect::<Result<Vec<_>>>()?, 0)?)?;
            match network_map(model, &view.with_normalization(normalization)?, config.source) {
                Ok(maps) => {
                    for (i, (flipped, _)) in versions.iter().enumerate() {
                        sums.add(&NetworkMap { map: maps.narrow(0, i, 1)?.contiguous()?, flipped: *flipped })?;
                    }
                }
                // The mirrored image is no larger.
                Err(err) if is_too_small(&err) && left_out.len() + 1 == config.scales.len() => {
                    return Err(too_small(size, config, &err));
                }
                Err(err) if is_too_small(&err) => {
                    left_out.push(scale);
                    break;
                }
                Err(err) => return Err(err.into()),
            }
        }
    }
    let grids = sums.finish()?.iter().map(grid).collect::<Result<_>>()?;
    Ok(Inference { seeds: GridSeeds::new(classes.clone(), size, config.source, grids)?, left_out })
}

/// Pixels up to which an image and its mirror image go through the network together.
const TOGETHER: usize = 1 << 16;

fn pixels_of(image: &RgbImage) -> usize {
    image.width() as usize * image.height() as usize
}

/// The image, and its mirror image where that is wanted; whether it is mirrored.
fn versions(image: &RgbImage, flip: bool) -> Vec<(bool, Cow<'_, RgbImage>)> {
    let mut versions = vec![(false, Cow::Borrowed(image))];
    if flip {
        versions.push((true, Cow::Owned(flip_horizontal(image))));
    }
    versions
}

fn scaled(image: &RgbImage, scale: f64, config: &InferConfig) -> RgbImage {
    let [width, height] = [image.width(), image.height()].map(|side| InferConfig::scaled_len(side as usize, scale));
    resize(image, width, height, config.image_filter.into())
}

fn too_small((height, width): (usize, usize), config: &InferConfig, err: &Error) -> crate::Error {
    let largest = config.scales.iter().copied().fold(0.0, f64::max);
    let [scaled_height, scaled_width] = [height, width].map(|side| InferConfig::scaled_len(side, largest));
    let reason = format!(
        "{width} x {height} pixels (width x height) are too few for the network at every scale, {scaled_width} x \
         {scaled_height} at {largest}; leave the image out of the list, or add a larger scale to `infer.scales` ({err})"
    );
    Error::value("image", reason).into()
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

/// The map of one version of the image, detached from the network.
fn network_map(model: &dyn Baseline, view: &View, source: MapSource) -> candle_wsss::Result<Tensor> {
    let output = model.forward(view, Mode::Eval)?;
    output.check(model.spec())?;
    let map = match source {
        MapSource::Refined => output.seed_cam(),
        MapSource::Softmax => &output.cam,
    };
    Ok(map.detach())
}

fn grid(sum: &Tensor) -> Result<Grid> {
    let (_, _, height, width) = sum.dims4()?;
    Ok(Grid { height, width, maps: sum.to_dtype(DType::F32)?.flatten_all()?.to_vec1()? })
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
