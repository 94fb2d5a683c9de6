//! A start for later runs.

use candle_core::{DType, Device};
use candle_wsss::ClassLayout;
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::run::build;
use candle_wsss_baselines::train::checkpoint::Checkpoint;

use crate::cli::workbench::{TINY, data, fails_without, folder, program, succeeds, text, tiny};

#[test]
fn start_is_loaded_and_trained_from() {
    let place = folder();
    let start = place.path().join("new/start.safetensors");
    let args = ["pretrain", "--data", text(data()), "--out", text(&start)];
    let settings = ["train.steps=2"];
    let said = succeeds(&mut tiny(&args, &settings));
    assert!(said.starts_with(&format!("wrote {} (", start.display())) && said.contains("after 2 steps"), "{said}");

    let saved = Checkpoint::read(&start, &Device::Cpu).unwrap();
    assert!(saved.memory.is_empty() && saved.velocity.is_empty());
    assert!(saved.parameters.values().all(|tensor| tensor.dtype() == DType::F16));
    assert!(!saved.parameters.contains_key("model.fc8.weight"), "a later run starts the classifier anew");
    // Batch normalisation was trained, and is used frozen.
    assert!(saved.parameters.contains_key("model.bn7.running_var"));

    let weights = format!("weights={}", text(&start));
    let mut settings: Vec<String> = TINY.iter().map(ToString::to_string).collect();
    settings.push(weights.clone());
    let config = RunConfig::load("embedded", &settings).unwrap();
    let model = build(&config, &[], ClassLayout::new(4).unwrap(), 5, &Device::Cpu).unwrap();
    let mut fresh = config.clone();
    fresh.weights = None;
    let fresh = build(&fresh, &[], ClassLayout::new(4).unwrap(), 5, &Device::Cpu).unwrap();
    for (name, var) in model.store.named_vars() {
        let expected = match saved.parameters.get(&name) {
            Some(half) => half.to_dtype(DType::F32).unwrap(),
            None => fresh.store.get(&name).unwrap().as_tensor().clone(),
        };
        assert_eq!(var.dtype(), DType::F32);
        assert_eq!(values(var.as_tensor()), values(&expected), "{name}");
    }

    let out = place.path().join("out");
    let train = ["train", "--data", text(data()), "--out", text(&out), "--regularizers", "hsc"];
    succeeds(&mut tiny(&train, &[&weights]));
    let other = place.path().join("other");
    let train = ["train", "--data", text(data()), "--out", text(&other)];
    let wider = [&weights, "baseline.backbone.width_divisor=16"];
    let parts = [text(&start), "tensor `model.", "expected shape [", "got ["];
    fails_without(&other, &mut tiny(&train, &wider), 3, &parts);

    let seeds = place.path().join("seeds");
    let args = ["seeds", "--checkpoint", text(&start), "--data", text(data()), "--out", text(&seeds)];
    fails_without(&seeds, &mut program(&args), 3, &["start.safetensors", "`model.f8_3.weight`", "missing"]);
}

fn values(tensor: &candle_core::Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn interrupted_writes_nothing() {
    let place = folder();
    let out = place.path().join("start.safetensors");
    for wait in [200, 400, 800, 1600, 3200] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wsss"));
        command.args(["pretrain", "--data", text(data()), "--out", text(&out)]).stderr(std::process::Stdio::piped());
        for setting in TINY.iter().chain(&["train.steps=100000"]) {
            command.args(["--set", setting]);
        }
        let child = command.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().is_ok());
        let output = child.wait_with_output().unwrap();
        assert!(!out.exists());
        // Without a code: the signal came before the program was ready for it.
        if let Some(code) = output.status.code() {
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(code, 130, "{said}");
            assert!(said.contains("of 100000 steps; nothing was written"), "{said}");
            return;
        }
    }
    panic!("never ready for a signal");
}

#[test]
fn same_seed_same_bytes() {
    let place = folder();
    let write = |name: &str, seed: &str, threads: &str| {
        let out = place.path().join(name);
        let args = ["pretrain", "--data", text(data()), "--out", text(&out)];
        succeeds(tiny(&args, &["train.steps=2", seed]).env("RAYON_NUM_THREADS", threads));
        std::fs::read(out).unwrap()
    };
    let first = write("first", "seed=3", "2");
    assert!(first == write("second", "seed=3", "1"));
    assert!(first != write("third", "seed=4", "2"));
}

#[test]
fn data_of_its_own() {
    let place = folder();
    let out = place.path().join("start.safetensors");
    let mut command = tiny(&["pretrain", "--out", text(&out)], &["train.steps=1"]);
    for setting in ["train=8", "val=1", "classes=5", "size=[48, 64]"] {
        command.args(["--synth-set", setting]);
    }
    succeeds(&mut command);
    let saved = Checkpoint::read(&out, &Device::Cpu).unwrap();
    assert_eq!(saved.info.classes.len(), 5);
    assert_eq!(saved.info.images, "8, train_000000 to train_000007");
    let of_tests = std::fs::read_to_string(data().join("classes.txt")).unwrap();
    assert!(saved.info.classes.iter().all(|class| !of_tests.lines().any(|line| line == class)), "classes are shared");
}
