//! Trunks.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

mod config;
mod memory;
mod parity;
mod small;
mod vgg16;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;

use crate::fixture::Fixture;
use crate::support::generator::{Generator, parse};

/// The parameters of a case whose names `wanted` accepts, drawn as its sidecar says.
fn parameters(f: &Fixture, dtype: DType, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Var> {
    let generator = Generator { rules: &f.json["generator"] };
    let mut vars = BTreeMap::new();
    for entry in f.json["parameters"].as_array().unwrap() {
        let parts: Vec<&str> = entry.as_str().unwrap().split(' ').collect();
        let (name, shape, kind) = (parts[0], parts[1], parts[2]);
        if wanted(name) {
            let dims: Vec<usize> = shape.split('x').map(|dim| dim.parse().unwrap()).collect();
            let tensor = generator.tensor(name, generator.draw_of(name, kind, &dims), &dims);
            vars.insert(name.to_string(), Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap());
        }
    }
    vars
}

fn builder(vars: &BTreeMap<String, Var>, dtype: DType) -> VarBuilder<'static> {
    let tensors = vars.iter().map(|(name, var)| (name.clone(), var.as_tensor().clone())).collect();
    VarBuilder::from_tensors(tensors, dtype, &Device::Cpu)
}

/// The one image of a case.
fn image(f: &Fixture) -> Tensor {
    let generator = Generator { rules: &f.json["generator"] };
    let about = f.json["inputs"].as_object().unwrap().values().next().unwrap();
    let dims: Vec<usize> =
        about["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect();
    let image = generator.tensor("input", parse(generator.rule("input"), 1), &dims);
    let got = image.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (got, want) in got.iter().zip(about["first4"].as_array().unwrap()) {
        assert_eq!(f64::from(*got), want.as_f64().unwrap(), "{}: input", f.name);
    }
    image
}

/// Compares the first channels, as many as are stored: their number ends the name.
fn check_channels(f: &Fixture, prefix: &str, got: &Tensor, tolerance: f64) {
    let tensors = f.json["tensors"].as_object().unwrap();
    let name = tensors.keys().find(|name| name.starts_with(prefix)).unwrap();
    let channels = name[prefix.len()..].parse().unwrap();
    f.check(name, &got.narrow(1, 0, channels).unwrap(), tolerance);
}
