//! PyTorch's `.pth`: a pickle that says which tensors there are, and storages that hold their values.
//!
//! Both kinds of file have the same pickle; they differ in where the storages lie.

mod archive;
mod legacy;
mod rebuild;
mod table;

pub(super) use archive::read as read_zip;
pub(super) use legacy::read as read_legacy;

use std::collections::BTreeMap;
use std::path::Path;

use super::element::ElementType;
use super::{Format, NamedTensor, Weights};
use crate::error::{Error, Result};
use crate::pickle::Pickle;
use rebuild::{StorageRef, TensorRef};

/// Where the values of storages come from.
trait Storages {
    /// All values of a storage.
    fn read(&mut self, storage: &StorageRef) -> Result<Vec<f32>>;
}

/// Values that all tensors together may have, per value of their storages: tensors share storages, and a view can repeat
/// values, but no network is many times its file.
const MAX_REPEATS: usize = 4;

/// The same for files of a few numbers.
const ALWAYS_ALLOWED: usize = 1 << 20;

// The weights a pickle describes.
fn assemble(path: &Path, format: Format, pickle: &Pickle<'_>, storages: &mut dyn Storages) -> Result<Weights> {
    let refuse = |reason: String| Error::data(path, reason);
    let table = table::find(pickle).map_err(refuse)?;
    let mut wanted: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    let mut tensors = Vec::new();
    for (index, (name, id)) in table.tensors.iter().enumerate() {
        let tensor = rebuild::tensor(pickle, *id).map_err(|reason| refuse(format!("tensor `{name}`: {reason}")))?;
        wanted.entry(tensor.storage.key.clone()).or_default().push(index);
        tensors.push(tensor);
    }
    let mut allowed = storage_values(&tensors).saturating_mul(MAX_REPEATS).saturating_add(ALWAYS_ALLOWED);
    for (tensor, (name, _)) in tensors.iter().zip(&table.tensors) {
        allowed = allowed.checked_sub(tensor.len).ok_or_else(|| {
            refuse(format!("tensor `{name}`: the tensors have many times the values that are in the file"))
        })?;
    }
    let mut made: Vec<Option<NamedTensor>> = tensors.iter().map(|_| None).collect();
    // One storage at a time, so that a file is not in memory twice.
    for users in wanted.values() {
        let mut values = Vec::new();
        for (position, index) in users.iter().enumerate() {
            let (name, tensor) = (&table.tensors[*index].0, &tensors[*index]);
            let misfit = |reason: &str| refuse(format!("tensor `{name}`: {reason}"));
            if position == 0 {
                values = storages.read(&tensor.storage)?;
            }
            if tensor.storage.element != tensors[users[0]].storage.element {
                return Err(misfit("its storage is of two types"));
            }
            let is_last = position + 1 == users.len();
            let own = if is_last && tensor.is_whole(values.len()) {
                std::mem::take(&mut values)
            } else {
                tensor.gather(&values).ok_or_else(|| misfit("it reaches beyond its storage"))?
            };
            made[*index] = Some(NamedTensor::new(name.clone(), tensor.storage.element, own, &tensor.shape)?);
        }
    }
    Ok(Weights { format, tensors: made.into_iter().flatten().collect(), passed_over: table.passed_over })
}

fn storage_values(tensors: &[TensorRef]) -> usize {
    let storages: BTreeMap<&str, usize> =
        tensors.iter().map(|tensor| (tensor.storage.key.as_str(), tensor.storage.len)).collect();
    storages.values().fold(0, |sum: usize, len| sum.saturating_add(*len))
}

// Bytes of a storage.
fn byte_len(len: usize, element: ElementType) -> u64 {
    (len as u64).saturating_mul(element.size() as u64)
}
