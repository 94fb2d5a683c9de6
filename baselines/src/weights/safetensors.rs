//! safetensors: the header through the library, the values straight into their tensors.
//!
//! The library itself wants the whole file in memory, beside the tensors made of it.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::Tensor;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

use super::element::ElementType;
use super::source::{Source, count};
use super::{Format, NamedTensor, Weights, sniff};
use crate::data::write_atomic;
use crate::error::{Error, Result};

/// Bytes of the number in front of the header.
const PREFIX: u64 = 8;

/// Largest header, the library's own limit.
const MAX_HEADER: u64 = 100_000_000;

/// The entries of the header that are no tensors; none when the file is of another format.
///
/// # Errors
/// When the file cannot be read.
pub fn safetensors_metadata(path: &Path) -> Result<Option<BTreeMap<String, String>>> {
    let mut source = Source::open(path)?;
    if !matches!(sniff::format(&mut source), Ok(Format::Safetensors)) {
        return Ok(None);
    }
    let Ok((header, _)) = header(&mut source) else { return Ok(None) };
    Ok(Some(header.metadata().clone().unwrap_or_default().into_iter().collect()))
}

// The header, and where the values begin.
fn header(source: &mut Source) -> Result<(Metadata, u64)> {
    let len = source.u64()?;
    if len > MAX_HEADER {
        return Err(source.refuse(format!("damaged: a header of {len} bytes")));
    }
    let bytes = source.bytes(len)?;
    let header = serde_json::from_slice(&bytes).map_err(|err| source.refuse(format!("damaged header: {err}")))?;
    Ok((header, PREFIX + len))
}

/// Reads the file.
pub(super) fn read(source: &mut Source) -> Result<Weights> {
    let (header, start) = header(source)?;
    let announced = start.checked_add(header.data_len() as u64);
    if announced != Some(source.len()) {
        let announced = announced.unwrap_or(u64::MAX);
        return Err(
            source.refuse(format!("cut off or damaged: {announced} bytes are announced, it has {}", source.len()))
        );
    }
    let mut tensors = Vec::new();
    for name in header.offset_keys() {
        let Some(info) = header.info(&name) else { continue };
        let element = element(info.dtype)
            .ok_or_else(|| source.refuse(format!("tensor `{name}` is of type {:?}, which is not read", info.dtype)))?;
        let len = count(&info.shape).filter(|len| fits(info, *len, element));
        let len = len.ok_or_else(|| source.refuse(format!("damaged: tensor `{name}` is not as long as its shape")))?;
        source.seek(start + info.data_offsets.0 as u64)?;
        let values = source.values(element, len)?;
        tensors.push(NamedTensor::new(name, element, values, &info.shape)?);
    }
    Ok(Weights { format: Format::Safetensors, tensors, passed_over: Vec::new() })
}

fn fits(info: &TensorInfo, len: usize, element: ElementType) -> bool {
    let (start, end) = info.data_offsets;
    end.checked_sub(start).is_some_and(|bytes| len.checked_mul(element.size()) == Some(bytes))
}

fn element(dtype: Dtype) -> Option<ElementType> {
    Some(match dtype {
        Dtype::F64 => ElementType::F64,
        Dtype::F32 => ElementType::F32,
        Dtype::F16 => ElementType::F16,
        Dtype::BF16 => ElementType::BF16,
        Dtype::I64 => ElementType::I64,
        Dtype::I32 => ElementType::I32,
        Dtype::I16 => ElementType::I16,
        Dtype::I8 => ElementType::I8,
        Dtype::U8 => ElementType::U8,
        Dtype::BOOL => ElementType::Bool,
        _ => return None,
    })
}

/// Writes tensors as 32-bit floats, in the order given, whole or not at all.
///
/// The one entry of metadata, `format`, is what PyTorch's own writer says, so other programs read the file as they read
/// theirs.
///
/// # Errors
/// When the file cannot be written, or a tensor is not of 32-bit floats.
pub fn write_safetensors<'a>(path: &Path, tensors: impl IntoIterator<Item = (&'a str, &'a Tensor)>) -> Result<()> {
    let tensors: Vec<(&str, &Tensor)> = tensors.into_iter().collect();
    let mut at = 0;
    let mut infos = Vec::new();
    for (name, tensor) in &tensors {
        let end = at + tensor.elem_count() * ElementType::F32.size();
        let info = TensorInfo { dtype: Dtype::F32, shape: tensor.dims().to_vec(), data_offsets: (at, end) };
        infos.push(((*name).to_string(), info));
        at = end;
    }
    let misfit = |err: String| Error::data(path, err);
    let entry = HashMap::from([("format".to_string(), "pt".to_string())]);
    let header = Metadata::new(Some(entry), infos).map_err(|err| misfit(err.to_string()))?;
    let mut json = serde_json::to_vec(&header).map_err(|err| misfit(err.to_string()))?;
    // Values begin at a multiple of their size.
    json.resize(json.len().next_multiple_of(PREFIX as usize), b' ');
    let values: Vec<Tensor> =
        tensors.iter().map(|(_, tensor)| tensor.flatten_all()).collect::<candle_core::Result<_>>()?;
    write_atomic(path, |out| {
        out.write_all(&(json.len() as u64).to_le_bytes())?;
        out.write_all(&json)?;
        for tensor in &values {
            for value in tensor.to_vec1::<f32>().map_err(std::io::Error::other)? {
                out.write_all(&value.to_le_bytes())?;
            }
        }
        Ok(())
    })
}
