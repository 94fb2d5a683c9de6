//! One cell: a baseline and a stack, trained without a stop and with one after every step.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::Device;
use candle_wsss_baselines::Error;
use candle_wsss_baselines::config::RunConfig;
use candle_wsss_baselines::data::Dataset;
use candle_wsss_baselines::run::{Interrupt, Progress, TrainJob, TrainOutcome};

use crate::cli::workbench::{assert_same_files, data, files, folder};

/// Steps of a training: two epochs of two, so that one follows the k-means of RCA, which begins the second.
pub(super) const STEPS: usize = 4;

/// Networks and losses so small that a step takes milliseconds, and every term from the first step on.
const SMALL: &str = include_str!("small.toml");

pub(super) fn config(baseline: &str) -> RunConfig {
    let settings = [format!("train.steps={STEPS}")];
    RunConfig::from_toml(SMALL, "small.toml", &settings).unwrap().with_baseline(baseline).unwrap()
}

/// What training a cell gave.
pub(super) struct Cell {
    title: String,
    outcome: TrainOutcome,
}

impl Cell {
    pub(super) fn train(baseline: &str, stack: &str) -> Self {
        let title = format!("{baseline} {stack}");
        let config = config(baseline);
        let place = folder();
        let (straight, stopped) = (place.path().join("straight"), place.path().join("stopped"));
        let outcome = run(&config, stack, &straight, false).unwrap_or_else(|err| panic!("{title}: {err}"));
        for step in 1..STEPS {
            match run(&config, stack, &stopped, true) {
                Err(Error::Interrupted(_)) => {}
                Err(err) => panic!("{title}: step {step}: {err}"),
                Ok(_) => panic!("{title}: not interrupted after step {step}"),
            }
        }
        run(&config, stack, &stopped, false).unwrap_or_else(|err| panic!("{title}, resumed: {err}"));
        // Parameters, velocity, memory and loss curves: all of it is in these files.
        assert_same_files(&straight, &stopped, |_| true);
        Self { title, outcome }
    }

    pub(super) fn title(&self) -> &str {
        &self.title
    }

    pub(super) fn expect_finite(&self) {
        assert_eq!(self.outcome.history.len(), STEPS, "{}", self.title);
        for record in &self.outcome.history {
            let total = record.total.unwrap_or_else(|| panic!("{}: no loss in step {}", self.title, record.step));
            assert!(total.is_finite(), "{}: {total} in step {}", self.title, record.step);
            assert!(record.omitted.is_empty(), "{}: left out {:?}", self.title, record.omitted);
        }
    }

    /// What is not frozen gets a gradient in the first step.
    pub(super) fn expect_every_parameter_reached(&self) {
        assert_eq!(self.outcome.unreached, Vec::<String>::new(), "{}", self.title);
    }

    pub(super) fn first_terms(&self) -> impl Iterator<Item = (&str, f64)> {
        self.outcome.history[0].terms.iter().map(|(term, value)| (term.as_str(), *value))
    }
}

/// Everything a training writes, made by so many threads.
pub(super) fn written(baseline: &str, stack: &str, threads: usize) -> BTreeMap<String, Vec<u8>> {
    let place = folder();
    // Backward walks the graph recursively.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(64 << 20).build().unwrap();
    pool.install(|| run(&config(baseline), stack, place.path(), false)).unwrap();
    files(place.path())
}

fn run(config: &RunConfig, stack: &str, folder: &Path, stop: bool) -> Result<TrainOutcome, Error> {
    std::fs::create_dir_all(folder).unwrap();
    let interrupt = Interrupt::new();
    if stop {
        interrupt.ask();
    }
    let job = TrainJob {
        config,
        regularizers: &config.method(stack).unwrap(),
        title: stack.to_string(),
        images: Dataset::open_images(data(), "train").unwrap(),
        seed: config.seed,
        folder,
        device: &Device::Cpu,
    };
    job.run(true, &Progress::hidden(), &interrupt)
}
