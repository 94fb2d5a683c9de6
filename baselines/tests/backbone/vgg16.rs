//! VGG16 against the trunk of the released RCA, at full width.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::VarBuilder;
use candle_wsss_baselines::backbone::{Backbone, Vgg16, Vgg16Config};

use crate::fixture::Fixture;
use crate::support::generator::{Generator, parse};
use crate::support::spatial_mean;

/// Float32 on both sides.
const TENSOR: f64 = 2e-5;

/// The parameters whose names start with `features.`, as the sidecar words them.
fn parameters(f: &Fixture) -> BTreeMap<String, Var> {
    let generator = Generator { rules: &f.json["generator"] };
    let mut vars = BTreeMap::new();
    for entry in f.json["parameters"].as_array().unwrap() {
        let parts: Vec<&str> = entry.as_str().unwrap().split(' ').collect();
        let (name, shape, kind) = (parts[0], parts[1], parts[2]);
        if name.starts_with("features.") {
            let dims: Vec<usize> = shape.split('x').map(|dim| dim.parse().unwrap()).collect();
            let tensor = generator.tensor(name, generator.draw_of(name, kind, &dims), &dims);
            vars.insert(name.to_string(), Var::from_tensor(&tensor).unwrap());
        }
    }
    vars
}

fn image(f: &Fixture) -> Tensor {
    let generator = Generator { rules: &f.json["generator"] };
    let about = f.json["inputs"].as_object().unwrap().values().next().unwrap();
    let dims: Vec<usize> =
        about["shape"].as_array().unwrap().iter().map(|dim| dim.as_u64().unwrap() as usize).collect();
    generator.tensor("input", parse(generator.rule("input"), 1), &dims)
}

#[test]
fn features_are_those_of_the_released_rca() {
    for f in Fixture::with_prefix("net_rca") {
        let tensors = parameters(&f).into_iter().map(|(name, var)| (name, var.into_inner())).collect();
        let vb = VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu);
        let trunk = Vgg16::new(&Vgg16Config::default(), vb).unwrap();
        let last = trunk.forward(&image(&f), None).unwrap().last;
        f.check("feat_channel_mean", &spatial_mean(&last), TENSOR);
        let names = f.json["tensors"].as_object().unwrap();
        let name = names.keys().find(|name| name.starts_with("feat_ch0_")).unwrap();
        let channels = name["feat_ch0_".len()..].parse().unwrap();
        f.check(name, &last.narrow(1, 0, channels).unwrap(), TENSOR);
    }
}
