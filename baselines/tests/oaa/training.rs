//! Accumulation while training: when, and that neither stopping nor starting again shows.

use std::path::Path;

use candle_core::Device;
use candle_wsss_baselines::Error;
use candle_wsss_baselines::accumulate::{AttentionInfo, read_attention};
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::data::Dataset;
use candle_wsss_baselines::run::{Interrupt, Progress, TrainJob, TrainOutcome};

use crate::cli::workbench::{
    TINY, assert_same_files, data, fails, files, folder, is_of_an_image, program, succeeds, text, tiny,
};

/// OAA on 16 images in batches of 4, over two epochs and a half, with accumulation.
const OAA: [&str; 10] = [
    "baseline.type=vgg16-oaa",
    "baseline.head.hidden=8",
    "baseline.head.init=kaiming",
    "accumulate.enabled=true",
    "train.steps=10",
    "optimizer.learning_rate=0.001",
    "regularizers.rca.type=rca",
    "regularizers.rca.head={ per_class = { hidden = 4, layers = 1 } }",
    "regularizers.rca.memory_length=10",
    "regularizers.rca.clusters=2",
];

pub(super) fn oaa(settings: &[&str]) -> RunConfig {
    let settings: Vec<String> = TINY.iter().chain(&OAA).chain(settings).map(ToString::to_string).collect();
    RunConfig::load("embedded", &settings).unwrap()
}

fn train(
    folder: &Path,
    method: &str,
    settings: &[&str],
    resume: bool,
    interrupt: &Interrupt,
) -> Result<TrainOutcome, Error> {
    std::fs::create_dir_all(folder).unwrap();
    let config = oaa(settings);
    let job = TrainJob {
        config: &config,
        regularizers: &config.method(method).unwrap(),
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
    for method in ["none", "rca"] {
        let (straight, stopped) = (place.path().join(method), place.path().join(format!("{method}-stopped")));
        let outcome = train(&straight, method, &[], false, &Interrupt::new()).unwrap();
        // The contrast comes in the third epoch, and the first step is what is looked at.
        assert!(outcome.unreached.iter().all(|name| name.starts_with("rca.extra_F.")), "{:?}", outcome.unreached);
        let attention = straight.join("attention");
        assert_eq!(AttentionInfo::expect(&attention).unwrap(), AttentionInfo { epochs: 3, filled: true });

        let go_on = |interrupt: &Interrupt| train(&stopped, method, &[], true, interrupt);
        for step in 1..=8 {
            let Err(Error::Interrupted(what)) = go_on(&stop()) else { panic!("not interrupted after step {step}") };
            assert!(what.contains(&format!("after {step} of 10 steps")), "{what}");
        }
        // The eighth step ends the second epoch, whose maps are still to come. Stopped there, nothing moves.
        assert!(!stopped.join("attention/accumulated.json").exists());
        let before = files(&stopped);
        assert!(matches!(go_on(&stop()), Err(Error::Interrupted(_))));
        assert!(files(&stopped) == before);
        go_on(&Interrupt::new()).unwrap();
        assert_same_files(&straight, &stopped, |_| true);

        // Finished, there is nothing left to do; and from nothing, what is there already does not matter.
        go_on(&Interrupt::new()).unwrap();
        assert_same_files(&straight, &stopped, |_| true);
        std::fs::remove_file(stopped.join("checkpoint.safetensors")).unwrap();
        std::fs::remove_file(stopped.join("attention/accumulated.json")).unwrap();
        go_on(&Interrupt::new()).unwrap();
        assert_same_files(&straight, &stopped, |_| true);
    }
    // RCA's maps are its own, and neither method's are empty.
    let maps = |method: &str| -> Vec<u8> {
        let folder = place.path().join(method).join("attention");
        let names = files(&folder).into_keys().filter(|name| name.ends_with(".png"));
        names.flat_map(|name| read_attention(&folder.join(name)).unwrap().data).collect()
    };
    for method in ["none", "rca"] {
        let lit = maps(method).iter().filter(|value| **value > 0).count();
        assert!(lit > maps(method).len() / 10, "{method}: {lit} of {}", maps(method).len());
    }
    assert!(maps("none") != maps("rca"));
}

#[test]
fn epochs_that_count() {
    let place = folder();
    let info = |name: &str, settings: &[&str]| {
        let folder = place.path().join(name);
        train(&folder, "none", settings, false, &Interrupt::new()).unwrap();
        AttentionInfo::read(&folder.join("attention")).unwrap()
    };
    assert_eq!(info("off", &["accumulate.enabled=false", "train.steps=2"]), None);
    let one = ["train.steps=4", "accumulate.start_epoch=0", "accumulate.fill=false"];
    assert_eq!(info("one", &one), Some(AttentionInfo { epochs: 1, filled: false }));
    // Training itself does not depend on what is accumulated beside it.
    info("without", &["train.steps=4", "accumulate.enabled=false"]);
    let (one, without) = (place.path().join("one"), place.path().join("without"));
    assert_same_files(&one, &without, |name| name == "metrics.jsonl");

    let late = train(&place.path().join("late"), "none", &["accumulate.start_epoch=3"], false, &Interrupt::new());
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
    assert_same_files(&unit.join("seeds"), &seeds, is_of_an_image);
    assert!(compared.join("vgg16-oaa+hsc-r0/attention/accumulated.json").is_file());

    std::fs::remove_dir_all(&compared).unwrap();
    let network = [&settings[..], &["accumulate.seeds=network"]].concat();
    succeeds(&mut tiny(&[&args[..], &["--regularizers", "none"]].concat(), &network));
    let (other, mut own) = (files(&unit.join("seeds")), files(&seeds));
    own.retain(|name, _| is_of_an_image(name));
    assert!(other.keys().eq(own.keys()) && other != own);
}
