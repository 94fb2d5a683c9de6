//! From accumulated maps to seeds.

use std::path::Path;

use candle_core::{Device, Tensor};
use candle_wsss::ops::{Corners, resize_bilinear};

use crate::accumulate::file::{AttentionInfo, attention_path, read_attention};
use crate::accumulate::map::{AttentionMap, EPSILON};
use crate::error::{Error, Result};
use crate::infer::SeedMaps;

/// A map at the size of its image, `(height, width)`, in `[0, 1]`: resized, then by its smallest and largest value there.
///
/// ```text
/// a     = round(resize(map))
/// score = (a - min a) / (max a - min a + 1e-8)
/// ```
///
/// PyTorch: `F.interpolate(map, size, mode="bilinear", align_corners=False)`. Rounded because the released code keeps the
/// resized maps in 8 bits as well; without it the rounding errors of a constant map would be stretched over `[0, 1]`,
/// and so it scores 0.
///
/// # Errors
/// When the map or the size is empty.
///
/// # Reference
/// RCA, `gen_labels.py`.
pub fn attention_scores(map: &AttentionMap, (height, width): (usize, usize)) -> Result<Vec<f32>> {
    let values: Vec<f32> = map.data.iter().map(|value| f32::from(*value)).collect();
    let values = Tensor::from_vec(values, (1, 1, map.height, map.width), &Device::Cpu)?;
    let resized = resize_bilinear(&values, (height, width), Corners::HalfPixel)?.flatten_all()?.to_vec1::<f32>()?;
    let resized: Vec<f32> = resized.into_iter().map(f32::round_ties_even).collect();
    let least = resized.iter().copied().fold(f32::INFINITY, f32::min);
    let most = resized.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let range = most - least + EPSILON;
    Ok(resized.into_iter().map(|value| (value - least) / range).collect())
}

/// Seeds of one image, `(height, width)`, out of a folder of accumulated maps.
///
/// A class without a map is left out where `info` says that maps may be missing.
///
/// # Errors
/// Naming the file that is missing or damaged.
pub fn attention_seeds(
    folder: &Path,
    info: &AttentionInfo,
    name: &str,
    labels: &[usize],
    size: (usize, usize),
) -> Result<SeedMaps> {
    let mut present = labels.to_vec();
    present.sort_unstable();
    present.dedup();
    let (mut classes, mut maps) = (Vec::new(), Vec::new());
    for class in present {
        let path = attention_path(folder, name, class);
        if !info.filled && !path.exists() {
            continue;
        }
        let map = read_attention(&path).map_err(|err| missing(&path, name, class, err))?;
        maps.extend(attention_scores(&map, size).map_err(|err| Error::data(&path, err.to_string()))?);
        classes.push(class);
    }
    SeedMaps::new(classes, size.0, size.1, maps)
}

fn missing(path: &Path, name: &str, class: usize, err: Error) -> Error {
    if path.exists() {
        return err;
    }
    Error::data(path, format!("expected the attention map of class {class} of image {name}, there is no such file"))
}
