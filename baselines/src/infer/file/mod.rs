//! Seeds on disk: one safetensors file per image, what its maps mean in its header.
//!
//! Version 1 has the scores at the size of the image, version 2 the maps they are made of: an eighth of the size at the
//! usual four scales and a stride of 8.

mod full;
mod grids;

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::data::write_atomic;
use crate::error::{Error, Result};
use crate::infer::seed_maps::SeedMaps;

pub use full::{Precision, write_seeds};
pub use grids::write_grid_seeds;

/// The only metadata key. A map of several would be written in random order, and equal seeds would make unequal files.
const HEADER_KEY: &str = "candle_wsss_seeds";

/// What the header of every version has.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Reads the seeds of an image as scores at its size, from a file of any version.
///
/// # Errors
/// When the file is missing, cut short, no seed file, of another version, or contradicts itself.
pub fn read_seeds(path: &Path) -> Result<SeedMaps> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    decode(&bytes).map_err(|reason| Error::data(path, reason))
}

fn decode(bytes: &[u8]) -> Result<SeedMaps, String> {
    let unreadable = |err: safetensors::SafeTensorError| format!("no readable seed file: {err}");
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(unreadable)?;
    let header = metadata.metadata().as_ref().and_then(|entries| entries.get(HEADER_KEY));
    let header = header.ok_or_else(|| "a safetensors file, but not one of seeds".to_string())?;
    // Before the rest, which another version may not have.
    let Version { version } = parse(header)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(unreadable)?;
    match version {
        full::VERSION => full::decode(parse(header)?, &tensors),
        grids::VERSION => grids::decode(parse(header)?, &tensors)?.seed_maps().map_err(|err| err.to_string()),
        other => {
            Err(format!("expected version {} or {} of the seed format, got {other}", full::VERSION, grids::VERSION))
        }
    }
}

fn parse<T: DeserializeOwned>(header: &str) -> Result<T, String> {
    serde_json::from_str(header).map_err(|err| format!("header: {err}"))
}

/// A tensor of the file, of exactly this shape.
fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str, expected: &[usize]) -> Result<TensorView<'a>, String> {
    let view = tensors.tensor(name).map_err(|err| err.to_string())?;
    if view.shape() == expected {
        return Ok(view);
    }
    Err(format!("tensor `{name}`: expected shape {expected:?}, got {:?}", view.shape()))
}

/// Writes a file of named tensors, whole or not at all.
fn write<'a>(path: &Path, header: &impl Serialize, tensors: Vec<(String, TensorView<'a>)>) -> Result<()> {
    let header = serde_json::to_string(header).map_err(|err| Error::data(path, err.to_string()))?;
    let metadata = HashMap::from([(HEADER_KEY.to_string(), header)]);
    let bytes = safetensors::serialize(tensors, Some(metadata)).map_err(|err| Error::data(path, err.to_string()))?;
    write_atomic(path, |file| file.write_all(&bytes))
}
