//! Seed maps on disk: one safetensors file per image, classes and size in its header.

use std::collections::HashMap;
use std::path::Path;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::data::write_atomic;
use crate::error::{Error, Result};
use crate::infer::seed_maps::SeedMaps;

/// The only metadata key. A map of several would be written in random order, and equal seeds would make unequal files.
const HEADER_KEY: &str = "candle_wsss_seeds";
const TENSOR: &str = "maps";
const VERSION: u32 = 1;

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

/// What the maps need to be understood.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    version: u32,
    classes: Vec<usize>,
    height: usize,
    width: usize,
}

/// Writes the seed maps of one image: all of the file or nothing.
///
/// # Errors
/// When the folder does not exist or cannot be written.
pub fn write_seeds(path: &Path, seeds: &SeedMaps, precision: Precision) -> Result<()> {
    let header =
        Header { version: VERSION, classes: seeds.classes().to_vec(), height: seeds.height(), width: seeds.width() };
    let header = serde_json::to_string(&header).map_err(|err| Error::data(path, err.to_string()))?;
    let (dtype, data): (Dtype, Vec<u8>) = match precision {
        Precision::Half => (Dtype::F16, seeds.maps().iter().flat_map(|s| f16::from_f32(*s).to_le_bytes()).collect()),
        Precision::Single => (Dtype::F32, seeds.maps().iter().flat_map(|s| s.to_le_bytes()).collect()),
    };
    let shape = vec![seeds.classes().len(), seeds.height(), seeds.width()];
    let view = TensorView::new(dtype, shape, &data).map_err(|err| Error::data(path, err.to_string()))?;
    let metadata = HashMap::from([(HEADER_KEY.to_string(), header)]);
    let bytes = safetensors::serialize([(TENSOR, view)], Some(metadata));
    let bytes = bytes.map_err(|err| Error::data(path, err.to_string()))?;
    write_atomic(path, |file| file.write_all(&bytes))
}

/// Reads what [`write_seeds`] wrote.
///
/// # Errors
/// When the file is missing, cut short, no seed file, of another version, or contradicts itself.
pub fn read_seeds(path: &Path) -> Result<SeedMaps> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let fail = |reason: String| Error::data(path, reason);
    let (_, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|err| fail(format!("no readable seed file: {err}")))?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
    let header = header.ok_or_else(|| fail("a safetensors file, but not one of seeds".to_string()))?;
    let header: Header = serde_json::from_str(header).map_err(|err| fail(format!("header: {err}")))?;
    if header.version != VERSION {
        return Err(fail(format!("expected version {VERSION} of the seed format, got {}", header.version)));
    }
    let tensors = SafeTensors::deserialize(&bytes).map_err(|err| fail(format!("no readable seed file: {err}")))?;
    let view = tensors.tensor(TENSOR).map_err(|err| fail(err.to_string()))?;
    let expected = [header.classes.len(), header.height, header.width];
    if view.shape() != expected {
        return Err(fail(format!("tensor `{TENSOR}`: expected shape {expected:?}, got {:?}", view.shape())));
    }
    let maps: Vec<f32> = match view.dtype() {
        Dtype::F16 => view.data().as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes).to_f32()).collect(),
        Dtype::F32 => view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        other => return Err(fail(format!("tensor `{TENSOR}`: expected dtype F16 or F32, got {other}"))),
    };
    SeedMaps::new(header.classes, header.height, header.width, maps).map_err(|err| fail(err.to_string()))
}
