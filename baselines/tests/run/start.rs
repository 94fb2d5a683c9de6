//! Weights of another program as a start: the trunk's, under the names of its paper's code.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_wsss::{ClassLayout, ParameterStore};
use candle_wsss_baselines::Error;
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::run::{Model, build};

use crate::cli::workbench::folder;

const SEED: u64 = 5;

fn config(weights: &str) -> RunConfig {
    let trunk = "baseline.backbone={ type = \"squeezenet1_0\", width_divisor = 16 }".to_string();
    RunConfig::load("voc12-seam", &[trunk, format!("weights={weights}")]).unwrap()
}

fn model(weights: &str) -> Result<Model, Error> {
    build(&config(weights), &[], ClassLayout::new(3).unwrap(), SEED, &Device::Cpu)
}

/// Weights of the trunk as drawn from another seed, a classifier beside them, without a word of this program.
fn foreign() -> HashMap<String, Tensor> {
    let store = ParameterStore::new();
    config("none").baseline.backbone().build(store.var_builder(77, DType::F32, &Device::Cpu)).unwrap();
    let mut tensors: HashMap<String, Tensor> = store.snapshot().unwrap().into_iter().collect();
    tensors.insert("classifier.1.bias".to_string(), Tensor::zeros(10, DType::F32, &Device::Cpu).unwrap());
    tensors
}

fn numbers(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_trunk_takes_weights_of_another_program() {
    let place = folder();
    let path = place.path().join("squeezenet.safetensors");
    let tensors = foreign();
    candle_core::safetensors::save(&tensors, &path).unwrap();
    let (loaded, fresh) = (model(path.to_str().unwrap()).unwrap(), model("none").unwrap());
    for (name, var) in loaded.store.named_vars() {
        let own = name.strip_prefix("model.").unwrap();
        let want = tensors.get(own).cloned().unwrap_or_else(|| fresh.store.get(&name).unwrap().as_tensor().clone());
        assert_eq!(numbers(var.as_tensor()), numbers(&want), "{name}");
    }
}

#[test]
fn weights_of_another_trunk_are_refused() {
    let place = folder();
    let path = place.path().join("other.safetensors");
    let refused = |tensors: HashMap<String, Tensor>, parts: &[&str]| {
        candle_core::safetensors::save(&tensors, Path::new(&path)).unwrap();
        let err = model(path.to_str().unwrap()).err().unwrap().to_string();
        for part in ["other.safetensors", "squeezenet1_0"].iter().chain(parts) {
            assert!(err.contains(part), "`{part}` is not in: {err}");
        }
    };
    let mut lacking = foreign();
    lacking.remove("features.0.weight");
    refused(lacking, &["`features.0.weight`", "missing"]);
    let mut reshaped = foreign();
    let flat = reshaped["features.0.weight"].flatten_all().unwrap();
    reshaped.insert("features.0.weight".to_string(), flat);
    refused(reshaped, &["features.0.weight`", "expected shape ["]);
}

#[test]
fn every_stack_of_the_embedded_configuration_builds() {
    let config = RunConfig::builtin("embedded").unwrap();
    let layout = ClassLayout::new(8).unwrap();
    for name in config.baseline_names() {
        let config = config.with_baseline(name).unwrap();
        for method in ["hsc+ppc+rca+pss", "hsc-intended+pss-rcm+pss-mam"] {
            let stack = config.method(method).unwrap();
            let built = build(&config, &stack, layout, 1, &Device::Cpu);
            let model = built.unwrap_or_else(|err| panic!("{name}+{method}: {err}"));
            model.for_inference(&config, &stack, layout).unwrap_or_else(|err| panic!("{name}+{method}: {err}"));
        }
    }
}

#[test]
fn two_networks_want_statistics_that_stand() {
    let settings = ["weights=none", "baseline.backbone.batch_norm=train"].map(str::to_string);
    let config = RunConfig::load("embedded", &settings).unwrap();
    let layout = ClassLayout::new(2).unwrap();
    let build = |method: &str| build(&config, &config.method(method).unwrap(), layout, 1, &Device::Cpu);
    assert!(build("hsc+ppc+rca").is_ok());
    let err = build("pss").err().unwrap().to_string();
    assert!(err.contains("`baseline.backbone.batch_norm`") && err.contains("`pss`"), "{err}");
}
