//! Stopped and taken up again.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use candle_core::Device;
use candle_wsss_baselines::run::read_history;
use candle_wsss_baselines::train::checkpoint::Checkpoint;

use crate::cli::workbench::{TINY, assert_same_files, copy_all, data, fails, files, folder, succeeds, text, tiny};

const STEPS: [&str; 2] = ["train.steps=60", "train.checkpoint_every=1"];

fn train_args<'a>(out: &'a Path, method: &'a str) -> Vec<&'a str> {
    vec!["train", "--data", text(data()), "--out", text(out), "--regularizers", method]
}

fn start(args: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsss"));
    command.arg("--quiet").args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    for setting in TINY.iter().chain(&STEPS) {
        command.args(["--set", setting]);
    }
    command.spawn().unwrap()
}

/// Sends the signal of Ctrl-C once `file` is there; returns exit code and stderr.
fn interrupt_after(mut child: Child, file: &Path) -> (Option<i32>, String) {
    let began = Instant::now();
    while !file.exists() && child.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().is_ok());
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout.is_empty() || output.status.success());
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

/// Interrupts a run by signal; tries again when it was over before the signal came. Returns what it said.
fn interrupted(out: &Path, args: &[&str], file: &str) -> String {
    for _ in 0..5 {
        let (code, stderr) = interrupt_after(start(args), &out.join(file));
        if code != Some(0) {
            assert_eq!(code, Some(130), "{stderr}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            return stderr;
        }
        std::fs::remove_dir_all(out).unwrap();
    }
    panic!("60 steps were over before a signal could be sent, five times");
}

#[test]
fn resumed_equals_not_stopped() {
    let place = folder();
    for method in ["none", "hsc"] {
        let (straight, stopped) = (place.path().join(method), place.path().join(format!("{method}-stopped")));
        succeeds(&mut tiny(&train_args(&straight, method), &STEPS));
        let args = train_args(&stopped, method);
        let said = interrupted(&stopped, &args, "checkpoint.safetensors");
        let path = stopped.join("checkpoint.safetensors");
        let step = Checkpoint::read(&path, &Device::Cpu).unwrap().info.step;
        assert!((1..60).contains(&step), "{step}");
        assert_eq!(read_history(&stopped.join("metrics.jsonl")).unwrap().len(), step);
        let expected = format!(
            "error: interrupted after {step} of 60 steps of {method}; {} holds them, --resume goes on\n",
            path.display()
        );
        assert_eq!(said, expected);
        let page = std::fs::read_to_string(stopped.join("report.html")).unwrap();
        assert!(page.contains(&format!("{step} of 60 steps")), "no page of what there is");

        refuses_to_go_on_as_another_run(&stopped, method);
        fails(&mut tiny(&args, &STEPS), 2, &["exists already"]);
        succeeds(tiny(&args, &STEPS).arg("--resume"));
        assert_same_files(&straight, &stopped, is_result);
        // A finished run has nothing left to do.
        succeeds(tiny(&args, &STEPS).arg("--resume"));
        assert_same_files(&straight, &stopped, is_result);
    }
}

fn refuses_to_go_on_as_another_run(run: &Path, method: &str) {
    let before = files(run);
    let resume = |method: &str, settings: &[&str], parts: &[&str]| {
        let settings = [&STEPS, settings].concat();
        let parts = [&["belongs to another run"], parts].concat();
        fails(tiny(&train_args(run, method), &settings).arg("--resume"), 2, &parts);
    };
    resume(method, &["seed=2"], &["`seed` is 1, now it is 2"]);
    resume(method, &["train.steps=61"], &["`train.steps` is 60, now it is 61"]);
    resume(method, &["loader.flip=false"], &["`loader.flip` is true, now it is false"]);
    resume(method, &["regularizers.third.type=hsc"], &["`regularizers.third` is not set, now it is {"]);
    resume("hsc-channel", &[], &["list of regularizers", &format!("is {method}, now it is hsc-channel")]);
    let val = ["--split", "val"];
    fails(tiny(&train_args(run, method), &STEPS).arg("--resume").args(val), 2, &["list of images"]);
    // The checkpoint knows as well what it belongs to, without the file beside it.
    let bare = folder();
    let bare = bare.path().join("bare");
    copy_all(run, &bare);
    let args = train_args(&bare, method);
    std::fs::write(
        bare.join("config.toml"),
        std::fs::read_to_string(bare.join("config.toml")).unwrap().replacen("seed = 1\n", "seed = 2\n", 1),
    )
    .unwrap();
    fails(tiny(&args, &STEPS).args(["--resume", "--set", "seed=2"]), 2, &["its seed is 1, now it is 2"]);
    assert!(files(run) == before, "a refused run was changed");
}

// The page has times in it.
fn is_result(name: &str) -> bool {
    name != "report.html"
}

#[test]
fn loss_curves_that_were_lost() {
    let place = folder();
    let out = place.path().join("out");
    let args = train_args(&out, "none");
    interrupted(&out, &args, "checkpoint.safetensors");
    let metrics = out.join("metrics.jsonl");
    let resume = |parts: &[&str]| fails(tiny(&args, &STEPS).arg("--resume"), 3, parts);
    std::fs::write(&metrics, "").unwrap();
    resume(&["metrics.jsonl", "expected the ", "got 0"]);
    std::fs::write(&metrics, "{\"step\":").unwrap();
    resume(&["metrics.jsonl", "line 1"]);
    std::fs::remove_file(&metrics).unwrap();
    resume(&["metrics.jsonl", "expected loss curves, there is no such file"]);
}

#[test]
fn comparison_resumed_equals_not_stopped() {
    let place = folder();
    let (straight, stopped) = (place.path().join("straight"), place.path().join("stopped"));
    let args = |out| vec!["compare", "--data", text(data()), "--out", text(out), "--repeats", "1", "--jobs", "2"];
    succeeds(&mut tiny(&args(&straight), &STEPS));
    let said = interrupted(&stopped, &args(&stopped), "seam+hsc-r0/checkpoint.safetensors");
    assert!(said.starts_with("error: interrupted with ") && said.contains("of 2 trainings finished"), "{said}");
    assert!(said.contains(text(&stopped)) && said.contains("--resume goes on"), "{said}");
    let names: Vec<String> = files(&stopped).into_keys().collect();
    assert!(!names.contains(&"results.json".to_string()), "{names:?}");
    succeeds(tiny(&args(&stopped), &STEPS).arg("--resume"));
    assert_same_files(&straight, &stopped, is_result);
}
