//! One training, stopped at every step.

use std::path::Path;

use candle_core::Device;
use candle_wsss_baselines::Error;
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::data::Dataset;
use candle_wsss_baselines::run::{Interrupt, Progress, TrainJob, TrainOutcome, events_path, read_history};
use candle_wsss_baselines::train::checkpoint::Checkpoint;

use crate::cli::workbench::{TINY, assert_same_files, data, folder};
use crate::report::events::scalars_of;

fn config() -> RunConfig {
    let settings: Vec<String> = TINY.iter().map(ToString::to_string).chain(["train.steps=6".to_string()]).collect();
    RunConfig::load("embedded", &settings).unwrap()
}

/// Trains in `folder`; with `stop`, asks to be stopped before it starts, which is heeded after a step.
fn train(folder: &Path, method: &str, resume: bool, stop: bool) -> Result<TrainOutcome, Error> {
    std::fs::create_dir_all(folder).unwrap();
    let config = config();
    let interrupt = Interrupt::new();
    if stop {
        interrupt.ask();
    }
    let job = TrainJob {
        config: &config,
        regularizers: &config.method(method).unwrap(),
        title: method.to_string(),
        images: Dataset::open_images(data(), "train").unwrap(),
        seed: config.seed,
        folder,
        device: &Device::Cpu,
    };
    job.run(resume, &Progress::hidden(), &interrupt)
}

#[test]
fn stopped_at_every_step_equals_not_stopped() {
    let place = folder();
    for method in ["none", "hsc", "hsc+hsc-channel"] {
        let (straight, stopped) = (place.path().join(method), place.path().join(format!("{method}-stopped")));
        train(&straight, method, false, false).unwrap();
        for step in 1..6 {
            let Err(Error::Interrupted(what)) = train(&stopped, method, true, true) else {
                panic!("{method}: not interrupted after step {step}")
            };
            assert!(what.contains(&format!("after {step} of 6 steps")), "{what}");
        }
        let outcome = train(&stopped, method, true, false).unwrap();
        assert_same_files(&straight, &stopped, |_| true);
        assert_eq!(outcome.history, read_history(&straight.join("metrics.jsonl")).unwrap());
        let events = scalars_of(&std::fs::read(events_path(&stopped)).unwrap());
        let own = |tag: &str| outcome.history.iter().map(|record| record.terms[tag]).collect::<Vec<f64>>();
        for (tag, values) in &events {
            let expected: Vec<f64> = match tag.strip_prefix("terms/") {
                Some(term) => own(term),
                None if tag == "total" => outcome.history.iter().filter_map(|record| record.total).collect(),
                None => outcome.history.iter().map(|record| record.learning_rate).collect(),
            };
            let expected: Vec<(u64, f32)> = (0..).zip(expected).map(|(step, value)| (step, value as f32)).collect();
            assert_eq!(values, &expected, "{tag}");
        }
        assert_eq!(events.len(), 2 + outcome.history[0].terms.len());
    }
}

#[test]
fn history_says_what_was_minimised() {
    let place = folder();
    let outcome = train(place.path(), "hsc", false, false).unwrap();
    assert_eq!(outcome.unreached, Vec::<String>::new());
    let rates: Vec<f64> = outcome.history.iter().map(|record| record.learning_rate).collect();
    let base = config().optimizer.learning_rate;
    for (step, record) in outcome.history.iter().enumerate() {
        assert_eq!(record.step, step);
        assert_eq!(rates[step], base * (1.0 - step as f64 / 6.0).powf(0.9));
        assert_eq!(record.terms.len(), 14);
        let weighted: f64 = record.terms.iter().map(|(term, value)| record.weights[term] * value).sum();
        assert!((record.total.unwrap() - weighted).abs() < 1e-9 * weighted.abs());
    }
    let saved = Checkpoint::read(&place.path().join("checkpoint.safetensors"), &Device::Cpu).unwrap();
    assert_eq!((saved.info.step, saved.info.seed), (6, 1));
    assert_eq!(saved.info.regularizers, ["hsc"]);
    assert_eq!(saved.info.images, "16, train_000000 to train_000015");
    assert_eq!(RunConfig::from_toml(&saved.info.config, "", &[]).unwrap(), config());
    // Frozen layers stand where they stood, trained ones do not.
    let start = candle_wsss_baselines::run::build(
        &config(),
        &config().method("hsc").unwrap(),
        candle_wsss::ClassLayout::new(4).unwrap(),
        1,
        &Device::Cpu,
    )
    .unwrap();
    for (name, var) in start.store.named_vars() {
        let values = |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let moved = values(var.as_tensor()) != values(&saved.parameters[&name]);
        assert_eq!(moved, saved.velocity.contains_key(&name), "{name}");
    }
}
