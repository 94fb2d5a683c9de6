//! Version 1: scores at the size of the image.

use std::path::Path;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{tensor, write};
use crate::error::{Error, Result};
use crate::infer::seed_maps::SeedMaps;

pub(super) const VERSION: u32 = 1;
const TENSOR: &str = "maps";

/// How scores are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// 16 bits: half the size. Scores move by up to 0.05 %, so a pixel next to a threshold may change sides.
    #[default]
    Half,
    /// 32 bits: exactly what was written.
    Single,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    version: u32,
    classes: Vec<usize>,
    height: usize,
    width: usize,
}

/// Writes scores at the size of the image, version 1 of the format: for seeds that no network's maps stand behind.
/// All of the file or nothing.
///
/// # Errors
/// When the folder does not exist or cannot be written.
pub fn write_seeds(path: &Path, seeds: &SeedMaps, precision: Precision) -> Result<()> {
    let header =
        Header { version: VERSION, classes: seeds.classes().to_vec(), height: seeds.height(), width: seeds.width() };
    let (dtype, data): (Dtype, Vec<u8>) = match precision {
        Precision::Half => (Dtype::F16, seeds.maps().iter().flat_map(|s| f16::from_f32(*s).to_le_bytes()).collect()),
        Precision::Single => (Dtype::F32, seeds.maps().iter().flat_map(|s| s.to_le_bytes()).collect()),
    };
    let shape = vec![seeds.classes().len(), seeds.height(), seeds.width()];
    let view = TensorView::new(dtype, shape, &data).map_err(|err| Error::data(path, err.to_string()))?;
    write(path, &header, vec![(TENSOR.to_string(), view)])
}

impl SeedMaps {
    /// What a file of half precision keeps of the scores.
    #[must_use]
    pub fn rounded(mut self) -> Self {
        for score in self.maps_mut() {
            *score = f16::from_f32(*score).to_f32();
        }
        self
    }
}

pub(super) fn decode(header: Header, tensors: &SafeTensors<'_>) -> Result<SeedMaps, String> {
    let view = tensor(tensors, TENSOR, &[header.classes.len(), header.height, header.width])?;
    let maps: Vec<f32> = match view.dtype() {
        Dtype::F16 => view.data().as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        other => return Err(format!("tensor `{TENSOR}`: expected dtype F16 or F32, got {other}")),
    };
    SeedMaps::new(header.classes, header.height, header.width, maps).map_err(|err| err.to_string())
}
