//! Baselines times methods from one command.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde_json::Value;

use crate::cli::workbench::{
    assert_same_files, data, data_copy, fails_without, files, folder, program, succeeds, talkative, text, tiny, trained,
};

/// A second baseline, the first at half its width, and a regularizer that only it has.
const NARROW: [&str; 5] = [
    "baselines.narrow.baseline.backbone.width_divisor=64",
    "baselines.narrow.eval.background_score=0.3",
    "baselines.narrow.regularizers.only.type=hsc",
    "baselines.narrow.regularizers.only.grid=[4, 4]",
    "baselines.narrow.regularizers.only.pixel_dim=8",
];

const METHODS: &str = "none,hsc,only";

fn compare_args<'a>(out: &'a Path, baselines: &'a str, methods: &'a str, repeats: &'a str) -> Vec<&'a str> {
    let place = ["compare", "--data", text(data()), "--out", text(out)];
    [&place[..], &["--baselines", baselines, "--regularizers", methods, "--repeats", repeats]].concat()
}

/// Two baselines, three methods, one of which the first has not, two repeats; to be read only.
fn matrix() -> &'static Path {
    static MATRIX: OnceLock<PathBuf> = OnceLock::new();
    MATRIX.get_or_init(|| {
        let out = data().with_file_name("matrix");
        succeeds(&mut tiny(&compare_args(&out, "seam,narrow", METHODS, "2"), &NARROW));
        out
    })
}

#[test]
fn every_cell_is_a_training_of_its_own() {
    let names: Vec<String> = files(matrix()).into_keys().collect();
    let mut folders: Vec<&str> = names.iter().filter_map(|name| name.strip_suffix("/metrics.jsonl")).collect();
    folders.sort_unstable();
    let cells = ["narrow", "narrow+hsc", "narrow+only", "seam", "seam+hsc"];
    let mut expected: Vec<String> = cells.iter().flat_map(|cell| [0, 1].map(|r| format!("{cell}-r{r}"))).collect();
    expected.sort();
    assert_eq!(folders, expected);
    let is_training = |name: &str| name == "checkpoint.safetensors" || name == "metrics.jsonl";
    // What another baseline is called, and that there is one, changes nothing.
    assert_same_files(&matrix().join("seam+hsc-r0"), &trained().run, is_training);

    let place = folder();
    let run = place.path().join("run");
    let args = ["train", "--data", text(data()), "--out", text(&run), "--regularizers", "only", "--baseline", "narrow"];
    succeeds(&mut tiny(&args, &NARROW));
    assert_same_files(&matrix().join("narrow+only-r0"), &run, is_training);
    let config = std::fs::read_to_string(run.join("config.toml")).unwrap();
    assert!(config.contains("width_divisor = 64") && !config.contains("baselines"), "{config}");
    assert_eq!(succeeds(&mut tiny(&["config", "--baseline", "narrow"], &NARROW)), config);
}

#[test]
fn the_matrix_stands_first() {
    let text = std::fs::read_to_string(matrix().join("table.txt")).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Seeds of seam, narrow with none, hsc, only");
    assert!(lines[2].starts_with("best: ") && lines[2].contains("held out: every image at the score"), "{text}");
    assert_eq!(lines[4], "mIoU at best");
    assert_eq!(
        lines[5].split_whitespace().collect::<Vec<_>>(),
        ["method", "seam", "difference", "narrow", "difference"]
    );
    let rows: Vec<&str> = lines[7..10].iter().map(|row| row.split_whitespace().next().unwrap()).collect();
    assert_eq!(rows, ["none", "hsc", "only"]);
    assert_eq!(lines[9].split_whitespace().nth(1), Some("-"), "{text}");
    for part in [
        "mIoU at fixed: seam 0.26, narrow 0.3\n",
        "\nmIoU held out\n",
        "seam      only    no regularizer `only` is configured",
    ] {
        assert!(text.contains(part), "{part} is not in\n{text}");
    }
    let page = std::fs::read_to_string(matrix().join("report.html")).unwrap();
    for part in ["<h2>Matrix</h2>", "<h3>narrow</h3>", "Where narrow+only gains most over narrow", "no regularizer"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn differences_are_within_a_baseline() {
    let results: Value = serde_json::from_slice(&std::fs::read(matrix().join("results.json")).unwrap()).unwrap();
    let methods = results["report"]["methods"].as_array().unwrap();
    let told: Vec<_> =
        methods.iter().map(|of| (of["baseline"].as_str(), of["method"].as_str(), of["reference"].as_u64())).collect();
    let entry = |baseline, method, reference| (Some(baseline), Some(method), Some(reference));
    let expected = [
        entry("seam", "none", 0),
        entry("seam", "hsc", 0),
        entry("narrow", "none", 2),
        entry("narrow", "hsc", 2),
        entry("narrow", "only", 2),
    ];
    assert_eq!(told, expected);
    for (index, (method, summary)) in methods.iter().zip(results["summary"].as_array().unwrap()).enumerate() {
        let is_reference = index == 0 || index == 2;
        assert_eq!(method["image_bootstrap"].is_null(), is_reference);
        assert_eq!(summary["best_difference"].is_null(), is_reference);
        // One seed per repeat, the same in all cells.
        for repeat in 0..2 {
            assert_eq!(method["repeats"][repeat]["seed"], methods[0]["repeats"][repeat]["seed"]);
        }
    }
    assert_eq!(results["report"]["left_out"][0]["method"], "only");
    // A baseline compared alone has the same numbers.
    let place = folder();
    let out = place.path().join("out");
    succeeds(&mut tiny(&compare_args(&out, "narrow", METHODS, "2"), &NARROW));
    let alone: Value = serde_json::from_slice(&std::fs::read(out.join("results.json")).unwrap()).unwrap();
    for (index, summary) in alone["summary"].as_array().unwrap().iter().enumerate() {
        let beside = &results["summary"][index + 2];
        let fields =
            ["best", "fixed", "cross_fitted", "best_difference", "fixed_difference", "cross_fitted_difference"];
        for field in fields.iter().chain(&["image_bootstrap"]) {
            assert_eq!(summary[field], beside[field], "{field}");
        }
    }
    let table = std::fs::read_to_string(out.join("table.txt")).unwrap();
    assert!(table.contains("mIoU at 0.3") && table.lines().nth(4).unwrap().starts_with("method"), "{table}");
}

#[test]
fn what_cannot_be_built_is_left_out() {
    let place = folder();
    let out = place.path().join("out");
    // More images in a batch than there are.
    let large = ["baselines.large.loader.batch_size=64"];
    let stdout = succeeds(&mut tiny(&compare_args(&out, "large,seam", "none", "1"), &large));
    let parts = ["large     none    config field `loader.batch_size`: a batch takes 64 images", "none        -"];
    assert!(parts.iter().all(|part| stdout.contains(part)), "{stdout}");
    let all = place.path().join("all");
    let parts = ["`loader.batch_size`", "a batch takes 64 images"];
    fails_without(&all, &mut tiny(&compare_args(&all, "large", "none", "1"), &large), 2, &parts);
    fails_without(&all, &mut tiny(&compare_args(&all, "large", "none,hsc", "1"), &large), 2, &parts);
}

#[test]
fn missing_data_shows_before_training() {
    let place = folder();
    let data = data_copy(place.path());
    std::fs::remove_file(data.join("saliency/train_000003.png")).unwrap();
    let out = place.path().join("out");
    let args = ["compare", "--data", text(&data), "--out", text(&out), "--baselines", "seam,salient"];
    let mut command = tiny(&args, &["baselines.salient.loader.saliency=true"]);
    fails_without(&out, &mut command, 3, &["saliency/train_000003.png", "saliency map", "for salient"]);
}

#[test]
fn a_matrix_grows() {
    let place = folder();
    let out = place.path().join("out");
    succeeds(&mut tiny(&compare_args(&out, "narrow", "none", "1"), &NARROW));
    let resumed = [&compare_args(&out, "seam,narrow", METHODS, "2")[..], &["--resume"]].concat();
    succeeds(&mut tiny(&resumed, &NARROW));
    assert_same_files(&out, matrix(), |name| name != "report.html");
    let other = [&NARROW[1..], &["baselines.narrow.baseline.backbone.width_divisor=48"]].concat();
    let refused = tiny(&resumed, &other).output().unwrap();
    let stderr = String::from_utf8(refused.stderr).unwrap();
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr.contains("config field `baselines.narrow.baseline.backbone.width_divisor` is 64"), "{stderr}");
}

#[test]
fn a_line_for_everything_finished() {
    let place = folder();
    let out = place.path().join("out");
    let mut command = talkative();
    command.args(compare_args(&out, "seam,narrow", "none,only", "1"));
    for setting in crate::cli::workbench::TINY.iter().chain(&NARROW) {
        command.args(["--set", setting]);
    }
    let output = command.args(["--jobs", "1"]).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = stderr.lines().collect();
    let starts = [
        "left out: only on seam: no regularizer `only`",
        // What takes longest begins.
        "3 of 3, narrow+only #1: trained, 3 steps, ",
        "3 of 3, narrow+only #1: seeds of 16 images, ",
        "1 of 3, seam #1: trained, 3 steps, ",
        "1 of 3, seam #1: seeds of 16 images, ",
        "2 of 3, narrow #1: trained, 3 steps, ",
        "2 of 3, narrow #1: seeds of 16 images, ",
    ];
    assert_eq!(lines.len(), starts.len(), "{stderr}");
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{line}");
    }
}

#[test]
fn evaluation_at_the_score_of_a_baseline() {
    let seeds = matrix().join("narrow-r0/seeds");
    let config = matrix().join("config.toml");
    let args = ["eval", "--seeds", text(&seeds), "--data", text(data()), "--config", text(&config)];
    let table = succeeds(program(&args).args(["--baseline", "narrow"]));
    let fixed = |table: &str| table.lines().find(|line| line.starts_with("fixed ")).unwrap().to_string();
    assert_eq!(fixed(&table).split_whitespace().nth(1), Some("0.3"), "{table}");
    assert!(table.contains("; fixed: 0.3; ") && !table.contains("difference"), "{table}");
    assert_eq!(fixed(&succeeds(&mut program(&args))).split_whitespace().nth(1), Some("0.26"));
}
