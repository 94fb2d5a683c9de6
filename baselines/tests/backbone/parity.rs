//! The trunks at full width against torchvision's networks.
//!
//! Gradients are compared in float64 alone: in float32 a pool or a rectification may choose otherwise, as it does in some
//! of the reference's own float32 runs (`float32_run_vs_golden` of the sidecars).

use std::collections::BTreeSet;

use candle_core::{DType, Device, Var};
use candle_wsss::ParameterStore;
use candle_wsss_baselines::backbone::BackboneConfig;
use serde::Deserialize;

use super::{builder, check_channels, image, parameters};
use crate::fixture::Fixture;
use crate::support::spatial_mean;

/// Largest errors of tensors and scalars.
struct Tolerance {
    tensor: f64,
    scalar: f64,
}

const DOUBLE: Tolerance = Tolerance { tensor: crate::support::TENSOR, scalar: crate::support::SCALAR };
const SINGLE: Tolerance = Tolerance { tensor: 2e-5, scalar: 1e-5 };

fn config(f: &Fixture) -> BackboneConfig {
    BackboneConfig::deserialize(&f.json["network"]).unwrap()
}

fn check(f: &Fixture, dtype: DType) {
    let tolerance = if dtype == DType::F64 { DOUBLE } else { SINGLE };
    let vars = parameters(f, dtype, |_| true);
    let trunk = config(f).build(builder(&vars, dtype)).unwrap();
    let image = Var::from_tensor(&image(f).to_dtype(dtype).unwrap()).unwrap();
    let taps = trunk.forward(&image, None).unwrap();
    let maps = [("low", &taps.low), ("high", &taps.high), ("last", &taps.last)];
    for ((name, map), channels) in maps.into_iter().zip(trunk.spec().channels) {
        assert_eq!(map.dim(1).unwrap(), channels, "{}: {name}", f.name);
        f.check(&format!("{name}_channel_mean"), &spatial_mean(map), tolerance.tensor);
    }
    check_channels(f, "last_ch0_", &taps.last, tolerance.tensor);
    let scalar = taps.last.sqr().unwrap().mean_all().unwrap();
    f.check_scalar("S", &scalar, tolerance.scalar);
    if dtype != DType::F64 {
        return;
    }
    let grads = scalar.backward().unwrap();
    f.check("grad_S__input", grads.get(&image).unwrap(), tolerance.tensor);
    let listed = f.json["parameter_gradients"]["S"].as_array().unwrap();
    for entry in listed {
        let name = entry["name"].as_str().unwrap();
        let grad = grads.get(&vars[name]).unwrap_or_else(|| panic!("{}: {name} gets no gradient", f.name));
        let grad = grad.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let (l2, want) = (grad.iter().map(|g| g * g).sum::<f64>().sqrt(), entry["l2"].as_f64().unwrap());
        assert!((l2 - want).abs() <= tolerance.scalar * want, "{}: {name}: norm {l2} against {want}", f.name);
        let largest = grad.iter().fold(0f64, |largest, g| largest.max(g.abs()));
        for (got, want) in grad.iter().zip(entry["first8"].as_array().unwrap()) {
            let error = (got - want.as_f64().unwrap()).abs() / largest;
            assert!(error <= tolerance.scalar, "{}: {name}: {got} against {want}", f.name);
        }
    }
    assert_eq!(vars.values().filter(|var| grads.get(var).is_some()).count(), listed.len(), "{}", f.name);
}

fn check_all(prefix: &str) {
    for f in Fixture::own_with_prefix(prefix) {
        check(&f, DType::F64);
        check(&f, DType::F32);
    }
}

#[test]
fn vgg16() {
    check_all("trunk_vgg16_");
}

#[test]
fn resnet50() {
    check_all("trunk_resnet50_");
}

#[test]
fn mobilenet_v2() {
    check_all("trunk_mobilenet_v2_");
}

#[test]
fn squeezenet1_0() {
    check_all("trunk_squeezenet1_0_");
}

// So a released file fills every parameter; what else it has are its classifier and its counts of batches.
#[test]
fn names_and_shapes_are_those_of_torchvision() {
    for f in Fixture::own_with_prefix("trunk_") {
        let store = ParameterStore::new();
        config(&f).build(store.var_builder(0, DType::F32, &Device::Cpu)).unwrap();
        let shape = |dims: &[usize]| dims.iter().map(ToString::to_string).collect::<Vec<_>>().join("x");
        let got: BTreeSet<_> =
            store.named_vars().into_iter().map(|(name, var)| format!("{name} {}", shape(var.dims()))).collect();
        let listed = f.json["parameters"].as_array().unwrap().iter();
        let want = listed.map(|entry| entry.as_str().unwrap().rsplit_once(' ').unwrap().0.to_string()).collect();
        assert_eq!(got, want, "{}", f.name);
    }
}
