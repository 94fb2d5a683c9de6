//! Checkpoints: everything comes back, and nothing else.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_wsss::{Baseline, ParameterStore};
use candle_wsss_baselines::Error;
use candle_wsss_baselines::train::checkpoint::{self, Checkpoint, CheckpointInfo, FORMAT};
use candle_wsss_baselines::train::{PolySgd, PolySgdConfig};

use super::grouped::{Grouped, NAMES};

fn info(step: usize) -> CheckpointInfo {
    CheckpointInfo {
        format: FORMAT.to_string(),
        step,
        // More than a double can hold: it must not go through one.
        seed: u64::MAX - 1,
        classes: vec!["cat".to_string(), "Hündin \"2\"".to_string()],
        images: "16, a to p".to_string(),
        regularizers: vec!["hsc".to_string()],
        config: "seed = 1\n".to_string(),
    }
}

struct Parts {
    store: ParameterStore,
    model: Grouped,
    optimizer: PolySgd,
}

fn parts(start: f64) -> Parts {
    let store = ParameterStore::new();
    let model = Grouped::new(&store, start, DType::F32);
    let optimizer = PolySgd::new(PolySgdConfig::intended(), &model, &store, 10).unwrap();
    Parts { store, model, optimizer }
}

impl Parts {
    fn step(&mut self) {
        let mut loss = Tensor::zeros((), DType::F32, &Device::Cpu).unwrap();
        for (_, var) in self.store.named_vars() {
            loss = (loss + var.sqr().unwrap().sum_all().unwrap()).unwrap();
        }
        self.optimizer.step(&loss.backward().unwrap()).unwrap();
    }

    fn save(&self, path: &Path, step: usize) -> Result<(), Error> {
        let tensors = checkpoint::gather(step, &self.store, &self.model, &self.optimizer)?;
        checkpoint::write(path, tensors, &info(step))
    }

    fn restore(&mut self, saved: Checkpoint) -> Result<(), Error> {
        saved.restore(&self.store, &mut self.model, &mut self.optimizer)
    }
}

fn values(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut written = parts(0.3);
    written.step();
    written.step();
    written.model.remember(0.7);
    written.save(&path, 2).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    written.save(&path, 2).unwrap();
    assert!(bytes == std::fs::read(&path).unwrap(), "the same state makes other bytes");

    let saved = Checkpoint::read(&path, &Device::Cpu).unwrap();
    assert_eq!(saved.info, info(2));
    assert_eq!(saved.parameters.keys().map(String::as_str).collect::<Vec<_>>(), NAMES);
    let mut read = parts(-9.0);
    read.restore(saved).unwrap();
    for name in NAMES {
        assert_eq!(values(&read.store.get(name).unwrap()), values(&written.store.get(name).unwrap()), "{name}");
    }
    assert_eq!(values(read.model.memory().unwrap().iter().next().unwrap().1), [0.7; 6]);
    assert_eq!(read.optimizer.learning_rate(), written.optimizer.learning_rate());
    for (name, velocity) in written.optimizer.velocity() {
        assert_eq!(values(&read.optimizer.velocity()[name]), values(velocity), "{name}");
    }
    // The next step is the same step.
    read.step();
    written.step();
    assert_eq!(values(&read.store.get("new.weight").unwrap()), values(&written.store.get("new.weight").unwrap()));
}

#[test]
fn values_that_are_no_numbers_are_not_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let mut written = parts(0.3);
    written.save(&path, 1).unwrap();
    let before = std::fs::read(&path).unwrap();
    let refuses = |written: &Parts, named: &str| {
        let Err(Error::Diverged { step: 2, what, .. }) = written.save(&path, 2) else { panic!("{named} was saved") };
        assert!(what.contains(named), "{what}");
        assert!(std::fs::read(&path).unwrap() == before, "the checkpoint before was touched");
    };
    let bad = Tensor::new(&[0.0f32, f32::NAN], &Device::Cpu).unwrap();
    written.store.get("old.bias").unwrap().set(&bad).unwrap();
    refuses(&written, "`old.bias`");
    written.store.get("old.bias").unwrap().set(&bad.zeros_like().unwrap()).unwrap();
    written.model.remember(f64::INFINITY);
    refuses(&written, "`memory.bank`");
    // The largest numbers there are, whose sum is none, are numbers.
    written.model.remember(f64::from(f32::MAX));
    written.save(&path, 2).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn half_precision_is_widened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("half.safetensors");
    let written = parts(0.3);
    let half = |tensor: &Tensor| tensor.to_dtype(DType::F16).unwrap();
    let tensors = written.store.named_vars().into_iter().map(|(name, var)| (name, half(var.as_tensor())));
    let memory = half(written.model.memory().unwrap().iter().next().unwrap().1);
    let velocity = written.optimizer.velocity().iter().map(|(name, tensor)| (format!("optim.{name}"), half(tensor)));
    let all = tensors.chain(velocity).chain([("memory.bank".to_string(), memory)]).collect();
    checkpoint::write(&path, all, &info(0)).unwrap();
    let mut read = parts(-9.0);
    read.restore(Checkpoint::read(&path, &Device::Cpu).unwrap()).unwrap();
    let nearest = f32::from(half::f16::from_f32(0.3));
    assert_ne!(nearest, 0.3);
    for name in NAMES {
        let var = read.store.get(name).unwrap();
        assert_eq!((var.dtype(), values(&var)), (DType::F32, vec![nearest; 2]), "{name}");
    }
    assert!(read.optimizer.velocity().values().all(|tensor| tensor.dtype() == DType::F32));
    read.step();
}

#[test]
fn every_length_of_a_cut_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    parts(0.3).save(&path, 0).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        let Err(err) = Checkpoint::from_bytes(&bytes[..length], &path, &Device::Cpu) else {
            panic!("{length} of {} bytes were taken", bytes.len())
        };
        let err = err.to_string();
        assert!(err.starts_with(path.to_str().unwrap()) && err.contains("no readable safetensors file"), "{err}");
    }
}
