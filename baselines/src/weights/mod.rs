//! Weights of other programs: read, renamed, written.
//!
//! [`read_weights`] takes the formats the field's weights come in and gives named tensors of 32-bit floats;
//! [`map_names`] finds out which of them a trunk of ours wants; [`write_safetensors`] keeps the result. Files are read
//! tensor by tensor, so that memory stays at about the size of the weights. Pickles in them are data
//! ([`crate::pickle`]): nothing is executed.

mod element;
mod mxnet;
mod names;
mod safetensors;
mod sniff;
mod source;
mod torch;

use std::path::Path;

use candle_core::{Device, Tensor};

pub use element::ElementType;
pub use names::{Mapped, MappingReport, Misshapen, map_names};
pub use safetensors::{safetensors_metadata, write_safetensors};

use crate::error::{Error, Result};
use source::Source;

/// What kind of file weights came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// safetensors.
    Safetensors,
    /// What `torch.save` writes since 1.6: a zip archive.
    TorchZip,
    /// What `torch.save` wrote before: pickles, then raw storages.
    TorchLegacy,
    /// MXNet's `.params`.
    MxNet,
}

impl Format {
    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::TorchZip => "PyTorch (zip archive)",
            Self::TorchLegacy => "PyTorch before 1.6",
            Self::MxNet => "MXNet",
        }
    }
}

/// Weights as read.
#[derive(Clone, Debug)]
pub struct Weights {
    /// The kind of file.
    pub format: Format,
    /// In the order of the file; no name comes twice.
    pub tensors: Vec<NamedTensor>,
    /// What else is in the file, by its key and what it is: an epoch, arguments, an optimizer.
    pub passed_over: Vec<String>,
}

/// One tensor of a file.
#[derive(Clone, Debug)]
pub struct NamedTensor {
    /// Its name in the file.
    pub name: String,
    /// What its values are in the file.
    pub stored_as: ElementType,
    /// Its values as 32-bit floats, on the CPU. Whole numbers beyond 2^24 are rounded.
    pub tensor: Tensor,
}

impl NamedTensor {
    fn new(name: String, stored_as: ElementType, values: Vec<f32>, shape: &[usize]) -> Result<Self> {
        Ok(Self { name, stored_as, tensor: Tensor::from_vec(values, shape, &Device::Cpu)? })
    }
}

impl Weights {
    /// Values of all tensors together.
    pub fn num_values(&self) -> usize {
        self.tensors.iter().map(|named| named.tensor.elem_count()).sum()
    }
}

/// Reads safetensors, PyTorch's `.pth` of either kind, and MXNet's `.params`; which of them, the bytes say, not the name.
///
/// A `.pth` may hold the table of tensors itself or have it under a key such as `state_dict` or `model`; tables within
/// tables get names joined by points. Memory is the tensors' own, and once more the largest one's.
///
/// # Errors
/// [`Error::Data`] when the file is missing, damaged, cut off, a web page, a pointer of git-lfs, holds anything else, or
/// a tensor in it lies outside of it.
///
/// ```
/// use candle_wsss_baselines::weights::{Format, read_weights};
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("vgg.pth");
/// std::fs::write(&path, "<!DOCTYPE html><title>Google Drive - Virus scan warning</title>")?;
/// assert!(read_weights(&path).unwrap_err().to_string().contains("a web page"));
///
/// // MXNet: two lists, of one array of two numbers, and of its name.
/// let mut params = Vec::new();
/// for word in [0x112_u32, 0, 0, 0, 1, 0, 1, 2, 1, 0, 0] {
///     params.extend(word.to_le_bytes());
/// }
/// params.extend([1.5_f32, -2.0].iter().flat_map(|value| value.to_le_bytes()));
/// params.extend([1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0]);
/// params.extend(b"arg:b");
/// std::fs::write(&path, params)?;
/// let weights = read_weights(&path)?;
/// assert_eq!((weights.format, weights.tensors[0].name.as_str()), (Format::MxNet, "arg:b"));
/// assert_eq!(weights.tensors[0].tensor.to_vec1::<f32>()?, [1.5, -2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_weights(path: &Path) -> Result<Weights> {
    let mut source = Source::open(path)?;
    let mut weights = match sniff::format(&mut source)? {
        Format::Safetensors => safetensors::read(&mut source),
        Format::TorchZip => torch::read_zip(source),
        Format::TorchLegacy => torch::read_legacy(&mut source),
        Format::MxNet => mxnet::read(&mut source),
    }?;
    if weights.tensors.is_empty() {
        return Err(Error::data(path, format!("a file of {} without a tensor", weights.format.name())));
    }
    let mut seen = std::collections::BTreeSet::new();
    weights.tensors.retain(|named| seen.insert(named.name.clone()));
    Ok(weights)
}
