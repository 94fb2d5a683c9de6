//! Images without a foreground object: terms that need one are left out and counted, everything else goes on.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cli::workbench::{data_copy, folder, program, succeeds, text, tiny};

fn without_labels(place: &Path) -> PathBuf {
    let data = data_copy(place);
    for entry in std::fs::read_dir(data.join("Annotations")).unwrap() {
        let path = entry.unwrap().path();
        let xml = std::fs::read_to_string(&path).unwrap();
        let (before, _) = xml.split_once("\t<object>").unwrap();
        std::fs::write(&path, format!("{before}</annotation>\n")).unwrap();
    }
    data
}

fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn terms_are_left_out_and_counted() {
    let place = folder();
    let data = without_labels(place.path());
    let out = place.path().join("out");
    let stdout = succeeds(&mut tiny(&["compare", "--data", text(&data), "--out", text(&out), "--repeats", "1"], &[]));
    assert!(stdout.contains("Terms left out"), "{stdout}");

    let history = lines(&out.join("seam+hsc-r0/metrics.jsonl"));
    assert_eq!(history.len(), 3);
    for line in &history {
        for term in ["hsc/class/own", "hsc/class/mutual"] {
            assert_eq!(line["omitted"][term], "no foreground label in the batch", "{line}");
            assert!(line["terms"].get(term).is_none(), "{line}");
        }
        assert!(line["terms"]["cls"].is_f64() && line["total"].is_f64(), "{line}");
    }
    let results: Value = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    let omitted = results["report"]["methods"][1]["repeats"][0]["omitted"].as_array().unwrap();
    for term in ["hsc/class/own", "hsc/class/mutual"] {
        let counted = omitted.iter().find(|count| count["term"] == term).unwrap();
        assert_eq!(counted["steps"], 3, "{counted}");
        assert!(stdout.contains(term), "{stdout}");
    }
    assert_eq!(results["report"]["methods"][0]["repeats"][0]["omitted"].as_array().unwrap().len(), 0);
}

#[test]
fn the_single_verbs_go_through() {
    let place = folder();
    let data = without_labels(place.path());
    let (run, seeds) = (place.path().join("run"), place.path().join("seeds"));
    succeeds(&mut tiny(&["train", "--data", text(&data), "--out", text(&run), "--regularizers", "hsc"], &[]));
    let checkpoint = run.join("checkpoint.safetensors");
    let args = ["seeds", "--checkpoint", text(&checkpoint), "--data", text(&data), "--out", text(&seeds)];
    succeeds(&mut program(&args));
    let json = succeeds(&mut program(&["eval", "--seeds", text(&seeds), "--data", text(&data), "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    // Nothing but background was found, at any score.
    let curve = json["report"]["methods"][0]["repeats"][0]["curve"].as_array().unwrap();
    assert!(curve.iter().all(|point| point == &curve[0]) && curve[0].as_f64().unwrap() > 0.0);
}
