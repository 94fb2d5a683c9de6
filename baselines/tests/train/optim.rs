//! `PolySgd` against steps computed by hand.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor};
use candle_wsss::ParameterStore;
use candle_wsss_baselines::train::{PolySgd, PolySgdConfig};

use super::grouped::{Grouped, NAMES};

const START: f64 = 0.5;

struct Bench {
    store: ParameterStore,
    optimizer: PolySgd,
}

fn bench(config: PolySgdConfig, run_steps: usize) -> Bench {
    let store = ParameterStore::new();
    let model = Grouped::new(&store, START, DType::F64);
    let optimizer = PolySgd::new(config, &model, &store, run_steps).unwrap();
    Bench { store, optimizer }
}

impl Bench {
    fn value(&self, name: &str) -> f64 {
        let values = self.store.get(name).unwrap().to_vec1::<f64>().unwrap();
        assert_eq!(values[0], values[1]);
        values[0]
    }

    /// Gradients of a loss whose derivative by every value of a parameter is `slope` of its name.
    fn grads(&self, slope: impl Fn(&str) -> Option<f64>) -> GradStore {
        let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu).unwrap();
        for name in NAMES {
            if let Some(slope) = slope(name) {
                let term = (self.store.get(name).unwrap().sum_all().unwrap() * slope).unwrap();
                loss = (loss + term).unwrap();
            }
        }
        loss.backward().unwrap()
    }

    fn step(&mut self, slope: f64) {
        let grads = self.grads(|_| Some(slope));
        self.optimizer.step(&grads).unwrap();
    }
}

fn close(got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-13 * want.abs().max(1.0), "got {got}, want {want}");
}

#[test]
fn released_settings_have_next_to_no_momentum() {
    let (released, intended) = (PolySgdConfig::default(), PolySgdConfig::intended());
    assert_eq!(released.weight_decay, 5e-4);
    assert_eq!(released.momentum, released.weight_decay, "the released code hands one to the other");
    assert_eq!(intended.momentum, 0.9);
    assert_eq!(PolySgdConfig { momentum: released.momentum, ..intended }, released);
    assert_eq!((released.learning_rate, released.power), (0.01, 0.9));
    assert_eq!(released.group_factors, [1.0, 2.0, 10.0, 20.0]);
    assert_eq!((released.max_step, released.clip_norm), (None, None));
}

#[test]
fn one_step_of_every_group() {
    let config = PolySgdConfig { learning_rate: 0.1, weight_decay: 0.25, momentum: 0.0, ..PolySgdConfig::default() };
    let mut bench = bench(config, 10);
    bench.step(2.0);
    // w - rate * factor * (g + decay * w); biases do not decay.
    close(bench.value("old.weight"), START - 0.1 * (2.0 + 0.25 * START));
    close(bench.value("old.bias"), START - 0.2 * 2.0);
    close(bench.value("new.weight"), START - 1.0 * (2.0 + 0.25 * START));
    close(bench.value("new.bias"), START - 2.0 * 2.0);
    assert_eq!(bench.value("frozen.weight"), START);
    assert_eq!(bench.value("frozen.bias"), START);
    let trainable: Vec<&str> = bench.optimizer.trainable().collect();
    assert_eq!(trainable, ["new.bias", "new.weight", "old.bias", "old.weight"]);
    assert!(bench.optimizer.velocity().is_empty(), "nothing to remember without momentum");
}

/// PyTorch's rule: `buf = m buf + (g + decay w)`, `w -= rate buf`, with the rate of the step.
#[test]
fn momentum_over_several_steps() {
    let config = PolySgdConfig { learning_rate: 0.05, momentum: 0.9, ..PolySgdConfig::default() };
    let (decay, steps) = (config.weight_decay, 5);
    let mut bench = bench(config, steps);
    let (mut weight, mut bias) = ((START, 0.0), (START, 0.0));
    for (step, slope) in [1.0, -2.0, 0.5, 3.0, -1.0].into_iter().enumerate() {
        let rate = 0.05 * (1.0 - step as f64 / steps as f64).powf(0.9);
        close(bench.optimizer.learning_rate(), rate);
        bench.step(slope);
        weight.1 = 0.9 * weight.1 + slope + decay * weight.0;
        weight.0 -= 10.0 * rate * weight.1;
        bias.1 = 0.9 * bias.1 + slope;
        bias.0 -= 2.0 * rate * bias.1;
        close(bench.value("new.weight"), weight.0);
        close(bench.value("old.bias"), bias.0);
    }
    close(bench.optimizer.velocity()["old.bias"].to_vec1::<f64>().unwrap()[0], bias.1);
}

#[test]
fn poly_schedule_and_what_comes_after() {
    let config = PolySgdConfig { learning_rate: 0.2, power: 0.5, max_step: Some(4), ..PolySgdConfig::default() };
    let mut bench = bench(config, 100);
    let mut rates = Vec::new();
    for _ in 0..7 {
        rates.push(bench.optimizer.learning_rate());
        bench.optimizer.skip();
    }
    let expected = [1.0, 0.75, 0.5, 0.25, 0.25, 0.25, 0.25].map(|left: f64| 0.2 * left.sqrt());
    rates.iter().zip(expected).for_each(|(got, want)| close(*got, want));
    // Skipped steps change nothing but the rate.
    assert_eq!(bench.value("old.weight"), START);
    // Without a length of its own the schedule has the run's.
    let mut run = self::bench(PolySgdConfig::default(), 2);
    run.optimizer.skip();
    close(run.optimizer.learning_rate(), 0.01 * 0.5f64.powf(0.9));
}

#[test]
fn parameters_without_a_gradient_stay() {
    let mut bench = bench(PolySgdConfig::intended(), 10);
    let grads = bench.grads(|name| (name == "old.weight").then_some(1.0));
    assert_eq!(bench.optimizer.unreached(&grads), ["new.bias", "new.weight", "old.bias"]);
    bench.optimizer.step(&grads).unwrap();
    for name in ["new.bias", "new.weight", "old.bias"] {
        // No decay either, as in PyTorch.
        assert_eq!(bench.value(name), START);
    }
    assert_ne!(bench.value("old.weight"), START);
}

#[test]
fn gradients_are_clipped_together() {
    let clip = |limit: Option<f64>| {
        let config = PolySgdConfig {
            learning_rate: 0.1,
            weight_decay: 0.25,
            momentum: 0.0,
            clip_norm: limit,
            ..PolySgdConfig::default()
        };
        let mut bench = bench(config, 10);
        // Frozen parameters do not count: 8 values of 3 have norm 3 sqrt(8).
        bench.step(3.0);
        bench.value("old.weight")
    };
    let norm = 3.0 * 8f64.sqrt();
    close(clip(Some(1.0)), START - 0.1 * (3.0 / norm + 0.25 * START));
    close(clip(Some(norm / 2.0)), START - 0.1 * (1.5 + 0.25 * START));
    assert_eq!(clip(Some(norm * 1.01)), clip(None));
}

#[test]
fn saved_state_goes_on_as_if_never_left() {
    let config = PolySgdConfig { learning_rate: 0.05, ..PolySgdConfig::intended() };
    let (mut straight, mut first) = (bench(config.clone(), 6), bench(config.clone(), 6));
    for slope in [1.0, -2.0, 0.5] {
        straight.step(slope);
        first.step(slope);
    }
    let mut second = bench(config, 6);
    second.store.load_exact(&first.store.snapshot().unwrap()).unwrap();
    second.optimizer.restore(3, first.optimizer.velocity().clone()).unwrap();
    for slope in [3.0, 0.25, -1.0] {
        straight.step(slope);
        second.step(slope);
    }
    NAMES.iter().for_each(|name| assert_eq!(straight.value(name), second.value(name), "{name}"));
}

#[test]
fn state_that_does_not_fit() {
    let mut bench = bench(PolySgdConfig::intended(), 6);
    bench.step(1.0);
    let own = bench.optimizer.velocity().clone();
    let names: Vec<&str> = own.keys().map(String::as_str).collect();
    assert_eq!(names, ["new.bias", "new.weight", "old.bias", "old.weight"]);
    let tensor = |len: usize| Tensor::zeros(len, DType::F64, &Device::Cpu).unwrap();
    let mut refuses = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), parts: &[&str]| {
        let mut state = own.clone();
        change(&mut state);
        let err = bench.optimizer.restore(4, state).unwrap_err().to_string();
        parts.iter().for_each(|part| assert!(err.contains(part), "{err}"));
        // Nothing was taken over: neither the step nor the values.
        close(bench.optimizer.learning_rate(), 0.01 * (5.0f64 / 6.0).powf(0.9));
        assert_eq!(bench.optimizer.velocity()["old.bias"].to_vec1::<f64>().unwrap(), [1.0, 1.0]);
    };
    refuses(&|state| drop(state.remove("new.weight")), &["`optim.new.weight`", "missing"]);
    refuses(&|state| drop(state.insert("frozen.bias".into(), tensor(2))), &["`optim.frozen.bias`"]);
    refuses(&|state| drop(state.insert("other".into(), tensor(2))), &["`optim.other`"]);
    refuses(&|state| drop(state.insert("old.bias".into(), tensor(3))), &["`optim.old.bias`", "[2]", "[3]"]);
}

#[test]
fn settings_out_of_range() {
    let store = ParameterStore::new();
    let model = Grouped::new(&store, START, DType::F64);
    let default = PolySgdConfig::default;
    for (config, field) in [
        (PolySgdConfig { learning_rate: 0.0, ..default() }, "learning_rate"),
        (PolySgdConfig { learning_rate: f64::INFINITY, ..default() }, "learning_rate"),
        (PolySgdConfig { weight_decay: f64::NAN, ..default() }, "weight_decay"),
        (PolySgdConfig { momentum: 1.0, ..default() }, "momentum"),
        (PolySgdConfig { momentum: -0.1, ..default() }, "momentum"),
        (PolySgdConfig { power: 0.0, ..default() }, "power"),
        (PolySgdConfig { max_step: Some(0), ..default() }, "max_step"),
        (PolySgdConfig { group_factors: [1.0, f64::NAN, 1.0, 1.0], ..default() }, "group_factors"),
        (PolySgdConfig { clip_norm: Some(0.0), ..default() }, "clip_norm"),
    ] {
        let Err(err) = PolySgd::new(config, &model, &store, 5) else { panic!("{field} was taken") };
        assert!(err.to_string().contains(&format!("`optimizer.{field}`")), "{err}");
    }
    let nothing = PolySgd::new(default(), &model, &ParameterStore::new(), 5);
    assert!(nothing.is_err_and(|err| err.to_string().contains("nothing to train")));
}
