//! Training starts from any of the formats.

use std::path::Path;

use candle_core::Device;
use candle_wsss::ClassLayout;
use candle_wsss_baselines::Error;
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::run::{Model, build};

use super::{fixture, json, numbers};
use crate::cli::workbench::{folder, text};

fn model(weights: &Path, divisor: usize) -> Result<Model, Error> {
    let settings = [
        format!("baseline.backbone={{ type = \"resnet38d\", width_divisor = {divisor} }}"),
        format!("weights={}", text(weights)),
    ];
    let config = RunConfig::load("voc12-seam", &settings).unwrap();
    build(&config, &[], ClassLayout::new(3).unwrap(), 1, &Device::Cpu)
}

#[test]
fn the_file_of_mxnet_is_a_start_as_it_is() {
    let model = model(&fixture("resnet38.params"), 64).unwrap();
    for (name, number) in json("resnet38.json").as_object().unwrap() {
        let var = model.store.get(&format!("model.{name}")).unwrap();
        let number = number.as_f64().unwrap() as f32;
        assert!(numbers(var.as_tensor()).iter().all(|value| *value == number), "{name}");
    }
}

#[test]
fn files_that_are_no_start() {
    let place = folder();
    let page = place.path().join("resnet_38d.params");
    std::fs::write(&page, "<!doctype html>").unwrap();
    for (path, divisor, parts) in [
        (page.clone(), 64, &["a web page"][..]),
        (fixture("resnet38.params"), 32, &["resnet38d trunk: tensor `arg:", "expected shape [", "and 1"]),
        (fixture("zip2.pth"), 64, &["zip2.pth: weights of a resnet38d trunk", "missing: `b2.", "more"]),
        (place.path().join("none.pth"), 64, &["none.pth: expected start weights, there is no such file"]),
    ] {
        let err = model(&path, divisor).err().unwrap();
        assert_eq!(err.exit_code(), 3, "{err}");
        for part in [text(&path)].iter().chain(parts) {
            assert!(err.to_string().contains(part), "`{part}` is not in: {err}");
        }
    }
}
