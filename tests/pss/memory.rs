use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::pss::{MamConfig, PssConfig, RcmConfig, SupportStart};
use candle_wsss::testing::randn;
use candle_wsss::{Baseline, Error, MemoryState, Objective, Regularizer, Result, Sampler, Step};

use super::inputs::{Run, entries, numbers};

const PRESENT: &[&[usize]] = &[&[0, 2], &[1]];

fn run(momentum: f64) -> Run {
    Run::new(PssConfig { support_momentum: momentum, ..PssConfig::default() }, PRESENT, 3)
}

// The trained network's parameters, by their names in memory.
fn main_values(run: &Run) -> Vec<(String, Vec<f64>)> {
    let name = |name: &str| format!("pss.support.{}", name.strip_prefix("toy.").unwrap());
    run.store.named_vars().iter().map(|(key, var)| (name(key), numbers(var.as_tensor()))).collect()
}

fn set_main(run: &Run, seed: u64) {
    for (_, var) in run.store.named_vars() {
        var.set(&randn(seed, var.dims()).unwrap()).unwrap();
    }
}

#[test]
fn until_the_first_commit_it_is_the_main_network() {
    let run = run(0.9);
    for seed in [5, 6] {
        // Start weights that are loaded after construction are those of both.
        set_main(&run, seed);
        assert_eq!(entries(&run.model.memory().unwrap()), main_values(&run));
        assert_eq!(entries(&run.objective().memory), main_values(&run));
    }
    // What was proposed is a copy.
    let proposed = run.objective().memory;
    let before = entries(&proposed);
    set_main(&run, 7);
    assert_eq!(entries(&proposed), before);
}

#[test]
fn it_is_a_moving_average_of_the_main_network() {
    for momentum in [0.0, 0.75, 1.0] {
        let mut run = run(momentum);
        let mut want = main_values(&run);
        for seed in 0..4 {
            let proposed = run.objective().memory;
            set_main(&run, 10 + seed);
            run.model.commit(proposed).unwrap();
            for ((_, want), (_, main)) in want.iter_mut().zip(main_values(&run)) {
                for (want, main) in want.iter_mut().zip(main) {
                    *want = momentum * *want + (1.0 - momentum) * main;
                }
            }
            for ((key, got), (name, want)) in entries(&run.model.memory().unwrap()).iter().zip(&want) {
                assert_eq!(key, name);
                assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-12), "{key}");
            }
        }
    }
}

#[test]
fn it_parts_from_the_main_network_when_it_is_told_to() {
    for support_start in [SupportStart::FirstTerm, SupportStart::FirstStep] {
        let rcm = RcmConfig { start_epoch: 2, ..RcmConfig::default() };
        let mam = MamConfig { start_epoch: 1, ..MamConfig::default() };
        let config = PssConfig { support_momentum: 1.0, support_start, rcm, mam, ..PssConfig::default() };
        let mut run = Run::new(config, PRESENT, 3);
        let mut starts = Vec::new();
        for epoch in [0, 0, 1, 1] {
            run.progress.epoch = epoch;
            starts.push(main_values(&run));
            run.train();
            // With momentum 1 it is what it was when it parted.
            let parted = match support_start {
                SupportStart::FirstTerm if epoch == 0 => starts.last().unwrap(),
                SupportStart::FirstTerm => &starts[1],
                SupportStart::FirstStep => &starts[0],
            };
            assert_eq!(entries(&run.model.memory().unwrap()), *parted, "{support_start:?}");
        }
    }
}

#[test]
fn parameters_both_have_alike_stay_to_the_bit() {
    let mut run = run(0.999);
    let start = main_values(&run);
    for _ in 0..50 {
        let next = run.model.memory().unwrap();
        run.model.commit(next).unwrap();
    }
    assert_eq!(entries(&run.model.memory().unwrap()), start);
}

#[test]
fn a_resumed_run_is_the_uninterrupted_one() {
    for saved_after in [0, 2] {
        let mut whole = run(0.5);
        (0..saved_after).for_each(|_| whole.train());
        let bytes = whole.model.memory().unwrap().to_safetensors(None).unwrap();
        let parameters = whole.store.snapshot().unwrap();
        let mut resumed = run(0.5);
        resumed.progress = whole.progress;
        resumed.store.load_exact(&parameters).unwrap();
        resumed.model.restore(MemoryState::from_safetensors(&bytes, &Device::Cpu).unwrap()).unwrap();
        for _ in 0..2 {
            assert_eq!(resumed.objective().terms.scalars().unwrap(), whole.objective().terms.scalars().unwrap());
            whole.train();
            resumed.train();
            assert_eq!(main_values(&resumed), main_values(&whole));
            assert_eq!(entries(&resumed.model.memory().unwrap()), entries(&whole.model.memory().unwrap()));
        }
        assert_ne!(entries(&whole.model.memory().unwrap()), main_values(&whole));
    }
}

#[test]
fn restoring_does_not_move_it() {
    let mut run = run(0.5);
    run.train();
    let saved = run.model.memory().unwrap();
    set_main(&run, 20);
    run.model.restore(saved.clone()).unwrap();
    assert_eq!(entries(&run.model.memory().unwrap()), entries(&saved));
}

/// Refuses every commit.
struct Refuses;

impl Regularizer for Refuses {
    fn name(&self) -> &str {
        "refuses"
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        Ok(Objective::default())
    }

    fn commit(&mut self, _next: MemoryState) -> Result<()> {
        Err(Error::state("all", "refused"))
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        saved.expect_empty()
    }
}

#[test]
fn a_commit_that_another_refuses_leaves_it_as_it_was() {
    for saved in [false, true] {
        let mut run = run(0.5).with(Refuses);
        if saved {
            let mut other = MemoryState::default();
            for (key, value) in run.model.memory().unwrap().iter() {
                other.insert(key, &randn(30, value.dims()).unwrap()).unwrap();
            }
            run.model.restore(other).unwrap();
        }
        let proposed = run.objective().memory;
        set_main(&run, 31);
        let before = entries(&run.model.memory().unwrap());
        assert_eq!(run.model.commit(proposed).unwrap_err().to_string(), "tensor `refuses.all`: refused");
        assert_eq!(entries(&run.model.memory().unwrap()), before);
        assert_eq!(entries(&run.objective().memory), before);
        // The step is undone: what was the main network still is.
        set_main(&run, 32);
        let want = if saved { before } else { main_values(&run) };
        assert_eq!(entries(&run.model.memory().unwrap()), want);
    }
}

#[test]
fn restored_start_weights_stay_when_the_main_network_is_loaded_later() {
    let mut whole = run(1.0);
    (0..2).for_each(|_| whole.train());
    let mut resumed = run(1.0);
    resumed.model.restore(whole.model.memory().unwrap()).unwrap();
    resumed.store.load_exact(&whole.store.snapshot().unwrap()).unwrap();
    assert_eq!(entries(&resumed.model.memory().unwrap()), entries(&whole.model.memory().unwrap()));
    assert_eq!(resumed.objective().terms.scalars().unwrap(), whole.objective().terms.scalars().unwrap());
}

#[test]
fn memory_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut run = run(0.5);
    run.train();
    let before = entries(&run.model.memory().unwrap());
    let changed = |change: &dyn Fn(&str, &Tensor) -> Option<Tensor>, surplus: Option<&str>| {
        let mut state = MemoryState::default();
        for (key, value) in run.model.memory().unwrap().iter() {
            if let Some(value) = change(key, value) {
                state.insert(key, &value).unwrap();
            }
        }
        if let Some(key) = surplus {
            state.insert(key, &Tensor::zeros(1, DType::F64, &Device::Cpu).unwrap()).unwrap();
        }
        state
    };
    let (weight, other) = ("pss.support.fc.weight", "pss.support.bias");
    let misshapen =
        |key: &str, value: &Tensor| Some(if key == weight { value.flatten_all().unwrap() } else { value.clone() });
    let states = [
        (changed(&misshapen, None), weight),
        (changed(&|key, value| (key != weight).then(|| value.clone()), None), weight),
        (changed(&|_, value| Some(value.clone()), Some(other)), other),
    ];
    for (state, key) in states {
        for outcome in [run.model.restore(state.clone()), run.model.commit(state)] {
            let message = outcome.unwrap_err().to_string();
            assert!(message.contains(&format!("`{key}`")), "{message}");
            assert_eq!(entries(&run.model.memory().unwrap()), before);
        }
    }
}
