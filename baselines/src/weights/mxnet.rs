//! MXNet's `.params`: a list of arrays, then the list of their names.
//!
//! Little-endian. Three layouts of an array are in use: since 1.0 (`V2`; `V3` where arrays may be empty), since 0.9.5
//! (`V1`, sides of 64 bits), and the first one, which begins with the number of sides. No library reads them, and
//! MXNet itself no longer imports beside a current NumPy.

use super::element::ElementType;
use super::source::{Source, count};
use super::{Format, NamedTensor, Weights};
use crate::error::Result;

/// Word in front of an array.
const V1: u32 = 0xF993_FAC8;
const V2: u32 = 0xF993_FAC9;
const V3: u32 = 0xF993_FACA;

/// Bytes of the magic number and of the reserved word behind it.
const HEADER: u64 = 16;

/// Sides an array may have; MXNet's own code has no more.
const MAX_RANK: u32 = 32;

/// Bytes of the shortest array: an empty one of the first layout.
const SHORTEST: u64 = 4;

/// Reads the file.
pub(super) fn read(source: &mut Source) -> Result<Weights> {
    source.seek(HEADER)?;
    let num_arrays = source.u64()?;
    if num_arrays > source.len() / SHORTEST {
        return Err(source.refuse(format!("damaged: {num_arrays} arrays are announced in {} bytes", source.len())));
    }
    let mut arrays = Vec::new();
    for index in 0..num_arrays {
        arrays.push(array(source, index)?);
    }
    let num_names = source.u64()?;
    if num_names != num_arrays && num_names != 0 {
        return Err(source.refuse(format!("damaged: {num_arrays} arrays and {num_names} names")));
    }
    let mut weights = Weights { format: Format::MxNet, tensors: Vec::new(), passed_over: Vec::new() };
    for (index, array) in arrays.into_iter().enumerate() {
        let name = if num_names == 0 { index.to_string() } else { name(source, index)? };
        match array {
            Some(array) => {
                weights.tensors.push(NamedTensor::new(name, array.element, array.values, &array.shape)?);
            }
            None => weights.passed_over.push(format!("`{name}` (an array that was never made)")),
        }
    }
    Ok(weights)
}

struct Array {
    element: ElementType,
    shape: Vec<usize>,
    values: Vec<f32>,
}

// None for an array that was never made.
fn array(source: &mut Source, index: u64) -> Result<Option<Array>> {
    let damaged = |source: &Source, what: String| source.refuse(format!("damaged: array {index} has {what}"));
    let version = source.u32()?;
    if matches!(version, V2 | V3) {
        // -1: not said; 0: dense.
        let storage = source.i32()?;
        if !matches!(storage, -1 | 0) {
            return Err(source.refuse(format!("array {index} is sparse; only dense ones are read")));
        }
    }
    let rank = if matches!(version, V1..=V3) { source.u32()? } else { version };
    let is_unmade = if version == V3 { rank == u32::MAX } else { rank == 0 };
    if is_unmade {
        return Ok(None);
    }
    if rank > MAX_RANK {
        return Err(damaged(source, format!("{rank} sides")));
    }
    let mut shape = Vec::new();
    for _ in 0..rank {
        let side = if matches!(version, V1..=V3) { source.u64()? } else { source.u32()?.into() };
        shape.push(usize::try_from(side).map_err(|_| damaged(source, format!("a side of {side}")))?);
    }
    let _device: [u8; 8] = source.array()?;
    let element = match source.i32()? {
        0 => ElementType::F32,
        1 => ElementType::F64,
        2 => ElementType::F16,
        3 => ElementType::U8,
        4 => ElementType::I32,
        5 => ElementType::I8,
        6 => ElementType::I64,
        7 => ElementType::Bool,
        8 => ElementType::I16,
        12 => ElementType::BF16,
        code => return Err(damaged(source, format!("elements of the unknown type {code}"))),
    };
    let len = count(&shape).ok_or_else(|| damaged(source, format!("shape {shape:?}")))?;
    Ok(Some(Array { element, values: source.values(element, len)?, shape }))
}

fn name(source: &mut Source, index: usize) -> Result<String> {
    let len = source.u64()?;
    String::from_utf8(source.bytes(len)?).map_err(|_| source.refuse(format!("damaged: name {index} is no text")))
}
