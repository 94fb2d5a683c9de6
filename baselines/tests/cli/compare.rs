//! Same seed, same bytes, whatever runs at a time and beside it.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use candle_wsss::regularizer::RegularizerConfig;
use candle_wsss_baselines::config::RunConfig;
use serde_json::Value;
use tempfile::TempDir;

use crate::cli::workbench::{assert_same_files, data, fails, files, folder, succeeds, text, tiny};

/// Everything but the page, which has times in it.
fn is_result(name: &str) -> bool {
    name != "report.html"
}

fn compare(out: &Path, more: &[&str], settings: &[&str]) -> String {
    let args = [&["compare", "--data", text(data()), "--out", text(out)], more].concat();
    succeeds(&mut tiny(&args, settings))
}

/// Two methods, two repeats, two at a time; to be read only.
fn reference() -> &'static Path {
    static REFERENCE: OnceLock<PathBuf> = OnceLock::new();
    REFERENCE.get_or_init(|| {
        let out = data().with_file_name("compare");
        compare(&out, &["--repeats", "2", "--jobs", "2"], &[]);
        out
    })
}

#[test]
fn twice_the_same_bytes() {
    let place = folder();
    let out = place.path().join("elsewhere");
    compare(&out, &["--repeats", "2", "--jobs", "1"], &[]);
    let names: Vec<String> = files(&out).into_keys().collect();
    for name in ["config.toml", "report.html", "results.json", "table.txt", "seam-r0/checkpoint.safetensors"] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
    }
    assert_same_files(&out, reference(), is_result);
}

#[test]
fn the_same_on_one_thread() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["compare", "--data", text(data()), "--out", text(&out), "--repeats", "2"];
    succeeds(tiny(&args, &[]).env("RAYON_NUM_THREADS", "1"));
    assert_same_files(&out, reference(), is_result);
}

#[test]
fn another_seed_and_another_repeat_are_other_trainings() {
    let place = folder();
    let out = place.path().join("out");
    compare(&out, &["--repeats", "1"], &["seed=2"]);
    let read = |root: &Path, unit: &str| std::fs::read(root.join(unit).join("metrics.jsonl")).unwrap();
    for unit in ["seam", "seam+hsc"] {
        let (first, second) = (format!("{unit}-r0"), format!("{unit}-r1"));
        assert!(read(&out, &first) != read(reference(), &first), "the seed changes nothing");
        assert!(read(reference(), &first) != read(reference(), &second), "repeats are equal");
        // Neighbouring seeds share no repeat either.
        assert!(read(&out, &first) != read(reference(), &second));
    }
}

#[test]
fn methods_do_not_know_of_each_other() {
    let place = folder();
    let out = place.path().join("out");
    compare(&out, &["--repeats", "2", "--regularizers", "hsc-channel,none"], &[]);
    for unit in ["seam-r0", "seam-r1"] {
        assert_same_files(&out.join(unit), &reference().join(unit), |_| true);
    }
}

#[test]
fn a_comparison_grows() {
    let place = folder();
    let out = place.path().join("out");
    compare(&out, &["--repeats", "1", "--regularizers", "none"], &[]);
    compare(&out, &["--repeats", "2", "--resume"], &[]);
    assert_same_files(&out, reference(), is_result);
    // And once more, with nothing left to do.
    compare(&out, &["--repeats", "2", "--resume"], &[]);
    assert_same_files(&out, reference(), is_result);
}

#[test]
fn results_say_what_was_compared() {
    let results: Value = serde_json::from_slice(&std::fs::read(reference().join("results.json")).unwrap()).unwrap();
    let methods = results["report"]["methods"].as_array().unwrap();
    let names: Vec<&str> = methods.iter().map(|method| method["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["seam", "seam+hsc"]);
    for method in methods {
        let repeats = method["repeats"].as_array().unwrap();
        assert_eq!(repeats.len(), 2);
        for repeat in repeats {
            let weights = repeat["losses"].as_array().unwrap().iter().map(|curve| (&curve["term"], &curve["weight"]));
            for (term, weight) in weights {
                let term = term.as_str().unwrap();
                let expected = if term.starts_with("hsc/class/") {
                    0.05
                } else if term.starts_with("hsc/") {
                    0.1
                } else {
                    1.0
                };
                assert!((weight.as_f64().unwrap() - expected).abs() < 1e-12, "{term}: {weight}");
            }
        }
    }
    let page = std::fs::read_to_string(reference().join("report.html")).unwrap();
    assert!(page.contains("compare --data"), "the page does not say how it was made");
    let table = std::fs::read_to_string(reference().join("table.txt")).unwrap();
    assert!(table.contains("seam+hsc") && !table.contains(text(data())), "{table}");
}

#[test]
fn embedded_data_is_made_inside() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["compare", "--synth", "--out", text(&out), "--repeats", "1", "--regularizers", "none"];
    let mut command = tiny(&args, &[]);
    for setting in ["train=16", "val=4", "classes=4", "size=[48, 64]", "seed=7"] {
        command.args(["--synth-set", setting]);
    }
    succeeds(&mut command);
    assert_same_files(&out.join("data"), data(), |_| true);
    assert_same_files(&out.join("seam-r0"), &reference().join("seam-r0"), |_| true);
}

#[test]
fn another_configuration_is_not_resumed() {
    let place: TempDir = folder();
    let out = place.path().join("out");
    compare(&out, &["--repeats", "1", "--regularizers", "none"], &[]);
    let before = files(&out);
    let args = ["compare", "--data", text(data()), "--out", text(&out), "--resume", "--repeats", "1"];
    let config = RunConfig::builtin("embedded").unwrap();
    let rate = format!("is {}", config.optimizer.learning_rate);
    let RegularizerConfig::Hsc(hsc) = &config.regularizers["hsc"] else { panic!("another regularizer") };
    let pixels = format!("is {}", hsc.class.top_k);
    for (setting, parts) in [
        ("seed=2", ["config field `seed`", "is 1", "now it is 2"]),
        ("optimizer.learning_rate=0.5", ["config field `optimizer.learning_rate`", &rate, "now it is 0.5"]),
        ("regularizers.hsc.class.top_k=9", ["config field `regularizers.hsc.class.top_k`", &pixels, "now it is 9"]),
    ] {
        fails(&mut tiny(&args, &[setting]), 2, &parts);
    }
    let args = ["--split", "val"];
    let command = ["compare", "--data", text(data()), "--out", text(&out), "--resume", "--repeats", "1"];
    fails(&mut tiny(&[&command[..], &args].concat(), &[]), 2, &["list of images", "16, train_000000", "4, val_000000"]);
    assert!(files(&out) == before, "a refused run was changed");
}
