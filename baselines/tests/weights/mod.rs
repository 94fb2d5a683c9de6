//! Weights of other programs.

mod bad_files;
mod convert;
mod formats;
mod names;
mod start;

use std::path::PathBuf;

use candle_core::{Device, Tensor};
use candle_wsss_baselines::Error;
use candle_wsss_baselines::weights::{ElementType, Format, NamedTensor, Weights, read_weights};

use crate::cli::workbench::folder;

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/weights/fixtures").join(name)
}

pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(fixture(name)).unwrap()).unwrap()
}

/// Reads bytes as a file of weights.
fn read(bytes: &[u8]) -> Result<Weights, Error> {
    let place = folder();
    let path = place.path().join("weights.bin");
    std::fs::write(&path, bytes).unwrap();
    read_weights(&path)
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Weights in memory.
fn weights(tensors: Vec<(String, Tensor)>) -> Weights {
    let named = |(name, tensor)| NamedTensor { name, stored_as: ElementType::F32, tensor };
    let tensors = tensors.into_iter().map(named).collect();
    Weights { format: Format::Safetensors, tensors, passed_over: Vec::new() }
}

/// A tensor of one number over and over.
fn filled(shape: &[usize], number: f32) -> Tensor {
    Tensor::full(number, shape, &Device::Cpu).unwrap()
}
