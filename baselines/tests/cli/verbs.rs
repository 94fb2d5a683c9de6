//! The stages one by one give what `compare` gives.

use serde_json::Value;

use crate::cli::workbench::{assert_same_files, data, folder, program, succeeds, text, tiny, trained};

fn repeat_of(json: &str, method: usize) -> Value {
    let json: Value = serde_json::from_str(json).unwrap();
    json["report"]["methods"][method]["repeats"][0].clone()
}

#[test]
fn train_seeds_eval_equal_compare() {
    let place = folder();
    let out = place.path().join("out");
    let json =
        succeeds(&mut tiny(&["compare", "--data", text(data()), "--out", text(&out), "--repeats", "1", "--json"], &[]));
    assert_eq!(json, std::fs::read_to_string(out.join("results.json")).unwrap());
    let unit = out.join("seam+hsc-r0");
    // The same configuration, seed and method: the very same files.
    assert_same_files(&unit, &trained().run, |name| name == "checkpoint.safetensors" || name == "metrics.jsonl");
    assert_same_files(&unit.join("seeds"), &trained().seeds, |_| true);

    let compared = repeat_of(&json, 1);
    for seeds in [unit.join("seeds"), trained().seeds.clone()] {
        let evaluated = succeeds(&mut program(&["eval", "--seeds", text(&seeds), "--data", text(data()), "--json"]));
        let evaluated = repeat_of(&evaluated, 0);
        for part in [
            "curve",
            "class_iou_at_best",
            "class_iou_at_fixed",
            "pixel_accuracy_at_best",
            "cross_fitted",
            "cross_fitted_scores",
            "confusion_at_best",
        ] {
            assert!(!evaluated[part].is_null());
            assert_eq!(evaluated[part], compared[part], "{part}");
        }
    }
    assert_ne!(repeat_of(&json, 0)["curve"], compared["curve"], "HSC changed nothing");
}

#[test]
fn a_later_repeat_is_a_training_of_its_seed() {
    let place = folder();
    let (out, run, seeds) = (place.path().join("out"), place.path().join("run"), place.path().join("seeds"));
    let args =
        ["compare", "--data", text(data()), "--out", text(&out), "--repeats", "2", "--regularizers", "hsc", "--json"];
    let json: Value = serde_json::from_str(&succeeds(&mut tiny(&args, &[]))).unwrap();
    let repeats = json["report"]["methods"][0]["repeats"].as_array().unwrap();
    assert_eq!(repeats[0]["seed"], 1);
    // As a person would: the number is read and typed.
    let setting = format!("seed={}", repeats[1]["seed"]);
    let args = ["train", "--data", text(data()), "--out", text(&run), "--regularizers", "hsc"];
    succeeds(&mut tiny(&args, &[&setting]));
    assert_same_files(&run, &out.join("seam+hsc-r1"), |name| name == "metrics.jsonl");
    let checkpoint = run.join("checkpoint.safetensors");
    succeeds(&mut program(&[
        "seeds",
        "--checkpoint",
        text(&checkpoint),
        "--data",
        text(data()),
        "--out",
        text(&seeds),
    ]));
    assert_same_files(&seeds, &out.join("seam+hsc-r1/seeds"), |_| true);
}

#[test]
fn evaluation_follows_the_configuration_of_the_run() {
    let place = folder();
    let out = place.path().join("out");
    let settings = ["eval.thresholds.last=9", "eval.background_score=0.05", "eval.absent_class=skipped"];
    let args =
        ["compare", "--data", text(data()), "--out", text(&out), "--repeats", "1", "--regularizers", "none", "--json"];
    let compared = repeat_of(&succeeds(&mut tiny(&args, &settings)), 0);
    let (seeds, config) = (out.join("seam-r0/seeds"), out.join("config.toml"));
    let args = ["eval", "--seeds", text(&seeds), "--data", text(data()), "--json", "--config", text(&config)];
    let evaluated = repeat_of(&succeeds(&mut program(&args)), 0);
    assert_eq!(evaluated["curve"].as_array().unwrap().len(), 10);
    assert_eq!(evaluated["curve"], compared["curve"]);
    assert_eq!(evaluated["class_iou_at_fixed"], compared["class_iou_at_fixed"]);
    let table = succeeds(program(&args[..5]).args(["--background-score", "0.3", "--per-class"]));
    assert!(table.contains("; fixed: 0.3; ") && table.contains("background"), "{table}");
}

#[test]
fn stacked_methods_train_side_by_side() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["train", "--data", text(data()), "--out", text(&out), "--regularizers", "hsc+hsc-channel"];
    succeeds(&mut tiny(&args, &[]));
    let alone = std::fs::read_to_string(trained().run.join("metrics.jsonl")).unwrap();
    let stacked = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
    let first = |text: &str| -> Value { serde_json::from_str(text.lines().next().unwrap()).unwrap() };
    let (alone, stacked) = (first(&alone), first(&stacked));
    for (term, value) in alone["terms"].as_object().unwrap() {
        // Before the first update nothing of one can have reached the other.
        assert_eq!(&stacked["terms"][term], value, "{term}");
    }
    let own: Vec<&String> =
        stacked["terms"].as_object().unwrap().keys().filter(|term| term.starts_with("hsc-channel/")).collect();
    assert_eq!(own.len(), 10, "{own:?}");
    assert_ne!(stacked["terms"]["hsc-channel/roi/intra"], stacked["terms"]["hsc/roi/intra"]);
}
