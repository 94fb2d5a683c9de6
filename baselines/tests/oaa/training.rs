//! Accumulation while training: when, and that neither stopping nor starting again shows.

use std::path::Path;

use candle_core::Device;
use candle_wsss_baselines::Error;
use candle_wsss_baselines::accumulate::AttentionInfo;
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::data::Dataset;
use candle_wsss_baselines::run::{Interrupt, Progress, TrainJob, TrainOutcome};

use crate::cli::workbench::{TINY, assert_same_files, data, fails, files, folder, program, succeeds, text, tiny};

/// OAA on 16 images in batches of 4, over two epochs and a half, with accumulation.
const OAA: [&str; 6] = [
    "baseline.type=vgg16-oaa",
    "baseline.head.hidden=8",
    "baseline.head.init=kaiming",
    "accumulate.enabled=true",
    "train.steps=10",
    "optimizer.learning_rate=0.1",
];

pub(super) fn oaa(settings: &[&str]) -> RunConfig {
    let settings: Vec<String> = TINY.iter().chain(&OAA).chain(settings).map(ToString::to_string).collect();
    RunConfig::load("embedded", &settings).unwrap()
}

fn train(folder: &Path, settings: &[&str], resume: bool, interrupt: &Interrupt) -> Result<TrainOutcome, Error> {
    std::fs::create_dir_all(folder).unwrap();
    let config = oaa(settings);
    let job = TrainJob {
        config: &config,
        regularizers: &[],
        title: "oaa".to_string(),
        images: Dataset::open_images(data(), "train").unwrap(),
        seed: config.seed,
        folder,
        device: &Device::Cpu,
    };
    job.run(resume, &Progress::hidden(), interrupt)
}

fn stop() -> Interrupt {
    let interrupt = Interrupt::new();
    interrupt.ask();
    interrupt
}

#[test]
fn stopped_equals_not_stopped() {
    let place = folder();
    let (straight, stopped) = (place.path().join("straight"), place.path().join("stopped"));
    let outcome = train(&straight, &[], false, &Interrupt::new()).unwrap();
    assert_eq!(outcome.unreached, Vec::<String>::new());
    let attention = straight.join("attention");
    assert_eq!(AttentionInfo::expect(&attention).unwrap(), AttentionInfo { epochs: 3, filled: true });

    let refuse = |step: usize| match train(&stopped, &[], true, &stop()) {
        Err(Error::Interrupted(what)) => assert!(what.contains(&format!("after {step} of 10 steps")), "{what}"),
        _ => panic!("not interrupted after step {step}"),
    };
    (1..=8).for_each(refuse);
    // The eighth step ends the second epoch, whose maps are still to come. Stopped there, nothing moves.
    assert!(!stopped.join("attention/accumulated.json").exists());
    let before = files(&stopped);
    assert!(matches!(train(&stopped, &[], true, &stop()), Err(Error::Interrupted(_))));
    assert!(files(&stopped) == before);
    train(&stopped, &[], true, &Interrupt::new()).unwrap();
    assert_same_files(&straight, &stopped, |_| true);

    // Finished, there is nothing left to do; and from nothing, what is there already does not matter.
    train(&stopped, &[], true, &Interrupt::new()).unwrap();
    assert_same_files(&straight, &stopped, |_| true);
    std::fs::remove_file(stopped.join("checkpoint.safetensors")).unwrap();
    std::fs::remove_file(stopped.join("attention/accumulated.json")).unwrap();
    train(&stopped, &[], true, &Interrupt::new()).unwrap();
    assert_same_files(&straight, &stopped, |_| true);
}

#[test]
fn epochs_that_count() {
    let place = folder();
    let info = |name: &str, settings: &[&str]| {
        let folder = place.path().join(name);
        train(&folder, settings, false, &Interrupt::new()).unwrap();
        AttentionInfo::read(&folder.join("attention")).unwrap()
    };
    assert_eq!(info("off", &["accumulate.enabled=false", "train.steps=2"]), None);
    let one = ["train.steps=4", "accumulate.start_epoch=0", "accumulate.fill=false"];
    assert_eq!(info("one", &one), Some(AttentionInfo { epochs: 1, filled: false }));
    // Training itself does not depend on what is accumulated beside it.
    info("without", &["train.steps=4", "accumulate.enabled=false"]);
    let (one, without) = (place.path().join("one"), place.path().join("without"));
    assert_same_files(&one, &without, |name| name == "metrics.jsonl");

    let late = train(&place.path().join("late"), &["accumulate.start_epoch=3"], false, &Interrupt::new());
    let Err(late) = late else { panic!("accumulation after the last epoch") };
    let reason = "must be below the number of epochs, 3, is 3";
    assert_eq!(late.to_string(), format!("config field `accumulate.start_epoch`: {reason}"));
    assert_eq!(late.exit_code(), 2);
}

#[test]
fn seeds_of_a_run() {
    let place = folder();
    let (run, seeds, compared) = (place.path().join("run"), place.path().join("seeds"), place.path().join("compared"));
    let settings = [&OAA[..], &["train.steps=8"]].concat();
    succeeds(&mut tiny(&["train", "--data", text(data()), "--out", text(&run)], &settings));
    let (checkpoint, attention) = (run.join("checkpoint.safetensors"), run.join("attention"));
    let args = |attention| {
        let made = ["--out", text(&seeds), "--attention", attention];
        [&["seeds", "--checkpoint", text(&checkpoint), "--data", text(data())][..], &made].concat()
    };
    fails(&mut program(&args(text(&run))), 3, &["run/accumulated.json", "expected a folder of accumulated"]);
    assert!(!seeds.exists());
    succeeds(&mut program(&args(text(&attention))));

    // A comparison makes its seeds of the same maps.
    let args = ["compare", "--data", text(data()), "--out", text(&compared), "--repeats", "1", "--jobs", "2"];
    succeeds(&mut tiny(&args, &settings));
    let unit = compared.join("vgg16-oaa-r0");
    assert_same_files(&unit.join("attention"), &attention, |_| true);
    assert_same_files(&unit.join("seeds"), &seeds, |_| true);
    assert!(compared.join("vgg16-oaa+hsc-r0/attention/accumulated.json").is_file());

    std::fs::remove_dir_all(&compared).unwrap();
    let network = [&settings[..], &["accumulate.seeds=network"]].concat();
    succeeds(&mut tiny(&[&args[..], &["--regularizers", "none"]].concat(), &network));
    let other = files(&unit.join("seeds"));
    assert!(other.keys().eq(files(&seeds).keys()) && other != files(&seeds));
}
