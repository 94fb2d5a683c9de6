//! A loss that is no number: exit code 4, step and term named, nothing of it saved.

use candle_core::Device;
use candle_wsss_baselines::train::checkpoint::Checkpoint;

use crate::cli::workbench::{data, fails, fails_without, files, folder, text, tiny};

const ABSURD: &str = "optimizer.learning_rate=1e30";

#[test]
fn loss_that_is_no_number() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["train", "--data", text(data()), "--out", text(&out)];
    fails_without(&out, &mut tiny(&args, &[ABSURD]), 4, &["diverged at step 1", "loss term `cls`", "NaN"]);
    // Whether a loss stumbles over such maps or gives a value that is no number, it is divergence.
    let args = ["train", "--data", text(data()), "--out", text(&out), "--regularizers", "hsc"];
    fails_without(&out, &mut tiny(&args, &[ABSURD]), 4, &["diverged at step 1"]);
    let args = ["compare", "--data", text(data()), "--out", text(&out), "--repeats", "2", "--jobs", "1"];
    fails_without(&out, &mut tiny(&args, &[ABSURD]), 4, &["diverged at step 1", "loss term `cls` of seam"]);
}

#[test]
fn trainings_beside_it_are_stopped_and_saved() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["compare", "--data", text(data()), "--out", text(&out), "--repeats", "2", "--jobs", "2"];
    fails(&mut tiny(&args, &[ABSURD]), 4, &["diverged at step 1", " of seam"]);
    if !out.exists() {
        return;
    }
    // One that was at its first step when the other failed: whole, and without results.
    for (name, _) in files(&out) {
        match name.rsplit('/').next().unwrap() {
            "checkpoint.safetensors" => {
                assert_eq!(Checkpoint::read(&out.join(name), &Device::Cpu).unwrap().info.step, 1);
            }
            other => {
                let expected = ["config.toml", "metrics.jsonl", "events.out.tfevents.0.wsss"];
                assert!(expected.contains(&other), "{name}");
            }
        }
    }
}

#[test]
fn pretraining() {
    let place = folder();
    let out = place.path().join("start.safetensors");
    let args = ["pretrain", "--data", text(data()), "--out", text(&out)];
    // Normalised layers turn any weights into numbers; the first step is what reaches infinity.
    fails_without(&out, &mut tiny(&args, &["optimizer.learning_rate=1e38"]), 4, &["diverged at step "]);
}

#[test]
fn last_step_that_makes_the_parameters_infinite() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["train", "--data", text(data()), "--out", text(&out)];
    let settings = ["optimizer.learning_rate=1e38", "optimizer.group_factors=[1e8, 1e8, 1e8, 1e8]", "train.steps=1"];
    fails_without(&out, &mut tiny(&args, &settings), 4, &["diverged at step 1", "a value of `model."]);
}

#[test]
fn terms_that_are_read_late() {
    let place = folder();
    let out = place.path().join("out");
    let args = ["train", "--data", text(data()), "--out", text(&out)];
    let late = [ABSURD, "train.log_every=20", "train.steps=4"];
    fails_without(&out, &mut tiny(&args, &late), 4, &["diverged at step 1", "loss term `cls`", "NaN"]);
    // Those of a checkpoint are read before it is written.
    let two = ["train.log_every=20", "train.steps=4", "train.checkpoint_every=2", ABSURD];
    fails_without(&out, &mut tiny(&args, &two), 4, &["diverged at step 1", "loss term `cls`", "NaN"]);
}

#[test]
fn checkpoint_before_it_stays() {
    for every in ["train.log_every=1", "train.log_every=20"] {
        checkpoint_stays(every);
    }
}

fn checkpoint_stays(log_every: &str) {
    let place = folder();
    let out = place.path().join("out");
    let args = ["train", "--data", text(data()), "--out", text(&out)];
    fails(&mut tiny(&args, &[ABSURD, "train.checkpoint_every=1", log_every]), 4, &["diverged at step 1"]);
    let names: Vec<String> = files(&out).into_keys().collect();
    assert_eq!(names, ["checkpoint.safetensors", "config.toml", "metrics.jsonl", "tb/events.out.tfevents.0.wsss"]);
    assert_eq!(Checkpoint::read(&out.join(&names[0]), &Device::Cpu).unwrap().info.step, 1);
}
