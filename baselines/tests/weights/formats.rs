use candle_wsss_baselines::weights::{Format, NamedTensor, Weights, read_weights, write_safetensors};

use super::{fixture, json, numbers, read};
use crate::cli::workbench::folder;

/// What a fixture must hold, in its order.
fn is_content(weights: &Weights, name: &str, order_counts: bool) {
    let content = json("content.json");
    let content = content.as_array().unwrap();
    assert_eq!(weights.tensors.len(), content.len(), "{name}");
    for (index, want) in content.iter().enumerate() {
        let wanted = want["name"].as_str().unwrap();
        let named = weights.tensors.iter().position(|named| named.name == wanted).unwrap();
        assert!(named == index || !order_counts, "{name}: {wanted}");
        let NamedTensor { stored_as, tensor, .. } = &weights.tensors[named];
        assert_eq!(stored_as.name(), want["stored_as"].as_str().unwrap(), "{name}: {wanted}");
        assert_eq!(serde_json::json!(tensor.dims()), want["shape"], "{name}: {wanted}");
        let values: Vec<f32> = want["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap() as f32).collect();
        assert_eq!(numbers(tensor), values, "{name}: {wanted}");
    }
}

#[test]
fn every_kind_of_pth_holds_the_same() {
    for protocol in 2..=4 {
        for (kind, format) in [("zip", Format::TorchZip), ("legacy", Format::TorchLegacy)] {
            let name = format!("{kind}{protocol}.pth");
            let weights = read_weights(&fixture(&name)).unwrap_or_else(|err| panic!("{err}"));
            assert_eq!(weights.format, format);
            is_content(&weights, &name, true);
            assert_eq!(weights.passed_over, Vec::<String>::new());
        }
    }
    let weights = read_weights(&fixture("content.safetensors")).unwrap();
    assert_eq!(weights.format, Format::Safetensors);
    is_content(&weights, "safetensors", false);
}

#[test]
fn the_table_is_found_below() {
    let weights = read_weights(&fixture("checkpoint.pth")).unwrap();
    is_content(&weights, "checkpoint.pth", true);
    let beside = ["`epoch` (the number 3)", "`args` (an object of `argparse.Namespace`)", "`best` (the number 0.5)"];
    assert_eq!(weights.passed_over[..3], beside);
    assert_eq!(weights.passed_over[3], "`optimizer` (a dictionary of 2)");
    // No usual key: what is there, taken together.
    let weights = read_weights(&fixture("parts.pth")).unwrap();
    let names: Vec<&str> = weights.tensors.iter().map(|named| named.name.as_str()).collect();
    assert_eq!(names, ["encoder.a", "decoder.b"]);
    assert_eq!(weights.passed_over, beside);
}

#[test]
fn a_deflated_archive_in_another_folder() {
    let weights = read_weights(&fixture("deflated.pth")).unwrap();
    assert_eq!(numbers(&weights.tensors[0].tensor), [0.0; 1000]);
}

#[test]
fn every_layout_of_mxnet_holds_the_same() {
    for version in ["legacy", "V1", "V2"] {
        let weights = read_weights(&fixture(&format!("small-{version}.params"))).unwrap();
        assert_eq!(weights.format, Format::MxNet);
        let told: Vec<(&str, &str, Vec<usize>, Vec<f32>)> = weights
            .tensors
            .iter()
            .map(|named| {
                (named.name.as_str(), named.stored_as.name(), named.tensor.dims().to_vec(), numbers(&named.tensor))
            })
            .collect();
        assert_eq!(
            told,
            [
                ("arg:w", "float32", vec![2, 3], vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.25]),
                ("arg:half", "float16", vec![2], vec![0.5, -2.0]),
                ("aux:double", "float64", vec![1, 1], vec![0.1]),
                ("aux:counts", "uint8", vec![2], vec![1.0, 255.0]),
            ],
            "{version}"
        );
    }
}

#[test]
fn what_is_written_is_read_back() {
    let weights = read_weights(&fixture("zip2.pth")).unwrap();
    let place = folder();
    let path = place.path().join("out.safetensors");
    write_safetensors(&path, weights.tensors.iter().map(|named| (named.name.as_str(), &named.tensor))).unwrap();
    let again = read_weights(&path).unwrap();
    for (one, other) in weights.tensors.iter().zip(&again.tensors) {
        assert_eq!((&one.name, one.tensor.dims()), (&other.name, other.tensor.dims()));
        assert_eq!(numbers(&one.tensor), numbers(&other.tensor));
    }
    // The library that others read it with.
    let bytes = std::fs::read(&path).unwrap();
    let parsed = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(parsed.len(), weights.tensors.len());
    let (length, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header.metadata().as_ref().unwrap()["format"], "pt");
    assert_eq!(length % 8, 0);
    write_safetensors(&path, weights.tensors.iter().map(|named| (named.name.as_str(), &named.tensor))).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "the same bytes every time");
}

#[test]
fn no_bytes_make_it_panic() {
    for name in [
        "zip2.pth",
        "legacy2.pth",
        "legacy4.pth",
        "checkpoint.pth",
        "deflated.pth",
        "parts.pth",
        "content.safetensors",
        "small-legacy.params",
        "small-V1.params",
        "small-V2.params",
    ] {
        let whole = std::fs::read(fixture(name)).unwrap();
        // Every length and place of a small file, some of a larger one.
        let step = whole.len() / 400 + 1;
        for len in (0..whole.len()).step_by(step) {
            let err = read(&whole[..len]).err().unwrap_or_else(|| panic!("{len} bytes of {name} pass for a whole"));
            assert_eq!(err.exit_code(), 3, "{name}: {err}");
            assert!(!err.to_string().contains('\n'), "{err}");
        }
        for at in (0..whole.len()).step_by(step) {
            for bits in [1, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] ^= bits;
                if let Err(err) = read(&bytes) {
                    assert_eq!(err.exit_code(), 3, "{name} at {at}: {err}");
                }
            }
        }
    }
}
