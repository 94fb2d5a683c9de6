//! What the cases are computed from: seeded, written once, read by both sides.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::{ClassLayout, ImageLabels, Pair, Sampler, SeededSampler};

/// Tensors by name.
pub(crate) type Tensors = HashMap<String, Tensor>;

/// Where the inputs of a case are. Sizes of one network share its weights.
pub(crate) fn file(folder: &Path, case: &str) -> PathBuf {
    folder.join(format!("{case}.safetensors"))
}

pub(crate) fn load(folder: &Path, case: &str, device: &Device) -> Result<Tensors> {
    let path = file(folder, case);
    candle_core::safetensors::load(&path, device).with_context(|| format!("{}: make it first", path.display()))
}

/// Standard normal, from a stream of that name.
pub(crate) fn normal(name: &str, dims: &[usize]) -> Result<Tensor> {
    let draws = SeededSampler::new(5).child(name).normal(dims.iter().product())?;
    Ok(Tensor::from_vec(draws, dims, &Device::Cpu)?.to_dtype(DType::F32)?)
}

/// Cells of the coarse pattern of a smooth map.
const PATTERN: usize = 7;
const ROUGHNESS: f64 = 0.2;

/// Maps with regions of some size, as those of a network have, and no two pixels alike.
pub(crate) fn smooth(name: &str, dims: [usize; 4]) -> Result<Tensor> {
    let [n, channels, h, w] = dims;
    let pattern = normal(&format!("{name}/pattern"), &[n, channels, PATTERN, PATTERN])?;
    let pattern = resize_bilinear(&pattern, (h, w), Corners::Aligned)?;
    Ok((pattern + (normal(name, &dims)? * ROUGHNESS)?)?)
}

/// So many different classes in each image, as zeros and ones.
pub(crate) fn multi_hot(foreground: usize, counts: &[usize]) -> Result<Tensor> {
    let mut flat = vec![0f32; counts.len() * foreground];
    for (image, &count) in counts.iter().enumerate() {
        for class in SeededSampler::new(7).child(&image.to_string()).distinct(foreground, count)? {
            flat[image * foreground + class] = 1.0;
        }
    }
    Ok(Tensor::from_vec(flat, (counts.len(), foreground), &Device::Cpu)?)
}

pub(crate) fn labels(tensors: &Tensors) -> Result<ImageLabels> {
    let multi_hot = get(tensors, "label")?;
    Ok(ImageLabels::from_multi_hot(multi_hot, ClassLayout::new(multi_hot.dim(1)?)?)?)
}

pub(crate) fn get<'a>(tensors: &'a Tensors, name: &str) -> Result<&'a Tensor> {
    tensors.get(name).with_context(|| format!("no input {name}"))
}

/// Names of the same input of both views.
pub(crate) fn views(name: &str) -> Pair<String> {
    Pair::new(1, 2).map(|view| format!("{name}{view}"))
}

pub(crate) fn pair(tensors: &Tensors, name: &str) -> Result<Pair<Tensor>> {
    views(name).try_map(|name| get(tensors, &name).cloned())
}

/// The same as variables, which get gradients.
pub(crate) fn variables(tensors: &Tensors, name: &str) -> Result<Pair<Var>> {
    views(name).try_map(|name| Ok(Var::from_tensor(get(tensors, &name)?)?))
}
