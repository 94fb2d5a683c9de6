//! `wsss seeds --crf` against `wsss seeds`, then `wsss crf`.

use std::path::Path;

use crate::cli::workbench::{
    assert_same_files, data, data_copy, fails_without, files, folder, program, succeeds, text, trained,
};

fn seeds(data: &Path, out: &Path, settings: &[&str]) -> assert_cmd::Command {
    let checkpoint = trained().checkpoint();
    let mut command =
        program(&["seeds", "--crf", "--checkpoint", text(&checkpoint), "--data", text(data), "--out", text(out)]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

fn crf(data: &Path, out: &Path, settings: &[&str]) -> assert_cmd::Command {
    let mut command = program(&["crf", "--seeds", text(&trained().seeds), "--data", text(data), "--out", text(out)]);
    for setting in settings {
        command.args(["--set", setting]);
    }
    command
}

const SALIENCY: &str = "crf.background={saliency={alpha=4.0, salient_from=200}}";

#[test]
fn masks_do_not_depend_on_when_they_are_made() {
    let place = folder();
    let labels = ["crf.labels=data_set", "crf.background={score={score=0.26}}"];
    for (name, settings) in [
        ("default", &[][..]),
        ("data_set", &["crf.labels=data_set"]),
        ("labels", &labels[..]),
        ("saliency", &[SALIENCY]),
    ] {
        let (at_once, later) = (place.path().join(format!("{name}-1")), place.path().join(format!("{name}-2")));
        succeeds(&mut seeds(data(), &at_once, settings));
        succeeds(&mut crf(data(), &later, settings));
        let is_mask = |name: &str| name.starts_with("masks/");
        assert_eq!(files(&later).keys().filter(|name| is_mask(name)).count(), 16);
        assert_same_files(&at_once, &later, is_mask);
        let crf_of = |folder: &Path, manifest: &str| -> serde_json::Value {
            let text = std::fs::read(folder.join(manifest)).unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()["crf"].clone()
        };
        let constants = crf_of(&at_once, "seeds.json");
        assert_eq!(constants, crf_of(&later, "crf.json"));
        let classes = (name == "data_set" || name == "labels").then_some(4);
        assert_eq!(constants.get("num_classes").and_then(serde_json::Value::as_u64), classes);
        // What the seeds themselves are is none of the CRF's business.
        assert_same_files(&at_once, &trained().seeds, |name| name.starts_with("arrays/") || name.starts_with("png/"));
    }
}

#[test]
fn a_missing_saliency_map_is_named_before_anything_is_written() {
    let place = folder();
    let (data, out) = (data_copy(place.path()), place.path().join("out"));
    std::fs::remove_file(data.join("saliency/train_000015.png")).unwrap();
    let parts = ["train_000015", "expected the saliency map"];
    fails_without(&out, &mut seeds(&data, &out, &[SALIENCY]), 3, &parts);
    fails_without(&out, &mut crf(&data, &out, &[SALIENCY]), 3, &parts);
    // Of another share.
    succeeds(seeds(&data, &out, &[SALIENCY]).args(["--shard", "1/16"]));
}

#[test]
fn classes_of_another_data_set_are_refused() {
    let place = folder();
    let out = place.path().join("out");
    let settings = ["crf.labels=data_set", "crf.num_classes=20"];
    let parts = ["`crf.num_classes`", "the classes of the data set, 4, is 20"];
    fails_without(&out, &mut seeds(data(), &out, &settings), 2, &parts);
    fails_without(&out, &mut crf(data(), &out, &settings), 2, &parts);
}
