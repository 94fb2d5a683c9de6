use std::collections::{BTreeMap, BTreeSet};

use candle_core::Tensor;
use candle_wsss_baselines::backbone::{BackboneConfig, ResNet38dConfig};
use candle_wsss_baselines::weights::{Mapped, map_names, read_weights};

use super::{filled, fixture, json, numbers, weights};

const DIVISOR: usize = 64;

fn resnet38d() -> BackboneConfig {
    BackboneConfig::ResNet38d(ResNet38dConfig { width_divisor: DIVISOR, ..Default::default() })
}

fn trunk(kind: &str) -> BackboneConfig {
    toml::from_str(&format!("type = \"{kind}\"\nwidth_divisor = 32")).unwrap()
}

/// Every parameter of a trunk behind a prefix, numbered.
fn numbered(config: &BackboneConfig, prefix: &str) -> Vec<(String, Tensor)> {
    let shapes = config.parameter_shapes().unwrap();
    let tensor = |(index, (name, shape)): (usize, (String, Vec<usize>))| {
        (format!("{prefix}{name}"), filled(&shape, index as f32))
    };
    shapes.into_iter().enumerate().map(tensor).collect()
}

fn expect_numbered(mapped: &Mapped, config: &BackboneConfig) {
    mapped.expect_whole("w".as_ref()).unwrap();
    let firsts: Vec<f32> = mapped.tensors.values().map(|tensor| numbers(tensor)[0]).collect();
    assert_eq!(firsts, (0..firsts.len()).map(|index| index as f32).collect::<Vec<_>>());
    let names: BTreeSet<String> = mapped.tensors.keys().cloned().collect();
    assert_eq!(names, config.parameter_names().unwrap());
}

#[test]
fn mxnet_names_cover_the_whole_trunk() {
    let mapped = map_names(&read_weights(&fixture("resnet38.params")).unwrap(), &resnet38d()).unwrap();
    mapped.expect_whole("resnet38.params".as_ref()).unwrap();
    let numbers_of: BTreeMap<String, f32> = serde_json::from_value(json("resnet38.json")).unwrap();
    let firsts: BTreeMap<String, f32> =
        mapped.tensors.iter().map(|(name, tensor)| (name.clone(), numbers(tensor)[0])).collect();
    assert_eq!(firsts, numbers_of);
    assert_eq!(mapped.report.surplus, ["arg:linear1000_weight", "arg:linear1000_bias"]);
    assert_eq!(mapped.report.rule, "names of MXNet's ResNet-38");
    assert!(mapped.report.missing.is_empty() && mapped.report.misshapen.is_empty());
    let pairs = &mapped.report.mapped;
    for (from, to) in [
        ("arg:conv1a_weight", "conv1a.weight"),
        ("arg:res2b1_branch2b1_weight", "b2_1.conv_branch2b1.weight"),
        ("aux:bn4b5_branch2a_moving_var", "b4_5.bn_branch2a.running_var"),
        ("arg:res7a_branch1_weight", "b7.conv_branch1.weight"),
        ("aux:bn7_moving_mean", "bn7.running_mean"),
    ] {
        assert!(pairs.contains(&(from.to_string(), to.to_string())), "{from}");
    }
}

#[test]
fn mxnet_names_without_their_lists() {
    let mut weights = read_weights(&fixture("resnet38.params")).unwrap();
    for named in &mut weights.tensors {
        named.name = named.name[4..].to_string();
    }
    map_names(&weights, &resnet38d()).unwrap().expect_whole("w".as_ref()).unwrap();
}

#[test]
fn prefixes_go_and_counts_of_batches_are_not_told() {
    for kind in ["resnet38d", "vgg16", "resnet50", "mobilenet_v2", "squeezenet1_0"] {
        let config = trunk(kind);
        for prefix in ["", "module.", "backbone.", "module.encoder.", "a.b.c.d."] {
            let mut tensors = numbered(&config, prefix);
            tensors.insert(0, (format!("{prefix}fc.weight"), filled(&[2, 3], 0.0)));
            tensors.push((format!("{prefix}bn1.num_batches_tracked"), filled(&[], 9.0)));
            let mapped = map_names(&weights(tensors), &config).unwrap();
            expect_numbered(&mapped, &config);
            assert_eq!(mapped.report.surplus, [format!("{prefix}fc.weight")]);
            let rule =
                if prefix.is_empty() { "names as they are".to_string() } else { format!("names without `{prefix}`") };
            assert_eq!((mapped.report.backbone, mapped.report.rule), (kind, rule));
        }
    }
}

#[test]
fn of_two_networks_the_one_that_fits_better_or_comes_first() {
    let config = trunk("resnet50");
    let mut part = numbered(&config, "momentum.");
    part.truncate(part.len() / 2);
    part.extend(numbered(&config, "student."));
    part.extend(numbered(&config, "teacher."));
    let mapped = map_names(&weights(part), &config).unwrap();
    expect_numbered(&mapped, &config);
    assert_eq!(mapped.report.rule, "names without `student.`");
    assert!(mapped.report.surplus.iter().all(|name| !name.starts_with("student.")));
}

/// What SEAM's released checkpoints have beside the trunk; their background comes first in `fc8`.
#[test]
fn heads_of_released_checkpoints_are_surplus() {
    let config = trunk("resnet38d");
    let heads = ["fc8.weight", "f8_3.weight", "f8_4.weight", "f9.weight"];
    let mut tensors = numbered(&config, "module.");
    tensors.extend(heads.map(|name| (format!("module.{name}"), filled(&[21, 2, 1, 1], 1.0))));
    let mapped = map_names(&weights(tensors), &config).unwrap();
    expect_numbered(&mapped, &config);
    assert_eq!(mapped.report.surplus, heads.map(|name| format!("module.{name}")));
}

#[test]
fn what_does_not_fit_is_named() {
    let config = trunk("squeezenet1_0");
    let complaint = |tensors: Vec<(String, Tensor)>| {
        let mapped = map_names(&weights(tensors), &config).unwrap();
        mapped.expect_whole("start.pth".as_ref()).unwrap_err().to_string()
    };
    let mut lacking = numbered(&config, "net.");
    lacking.retain(|(name, _)| name != "net.features.3.squeeze.bias");
    let err = complaint(lacking);
    assert_eq!(err, "start.pth: weights of a squeezenet1_0 trunk: missing: `features.3.squeeze.bias`");
    let mut reshaped = numbered(&config, "net.");
    reshaped[1].1 = filled(&[3, 1], 0.0);
    let err = complaint(reshaped);
    assert!(
        err.starts_with(
            "start.pth: weights of a squeezenet1_0 trunk: tensor `net.features.0.weight`: expected shape ["
        ),
        "{err}"
    );
    assert!(err.ends_with(", got [3, 1]"), "{err}");
    let err = complaint(numbered(&trunk("vgg16"), "other."));
    assert!(err.contains("missing: `features.0.bias`") || err.contains("expected shape"), "{err}");
    let err = complaint(vec![("w".to_string(), filled(&[1], 0.0))]);
    assert!(err.contains("none of its tensors is in the file; missing: `features.0.bias`, "), "{err}");
    assert!(err.ends_with("and 42 more"), "{err}");
}

#[test]
fn shapes_of_a_trunk_are_those_it_is_built_with() {
    let shapes = BackboneConfig::default().parameter_shapes().unwrap();
    assert_eq!(shapes["b7.conv_branch2b2.weight"], [4096, 2048, 1, 1]);
    let values: usize = shapes.values().map(|shape| shape.iter().product::<usize>()).sum();
    assert!((104_000_000..107_000_000).contains(&values), "{values}");
}
