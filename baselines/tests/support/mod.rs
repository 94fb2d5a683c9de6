//! Shared by the test modules: order of classes, gradients of named inputs, tensors as plain numbers.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

pub(crate) mod generator;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor, Var};
use candle_wsss::testing::assert_close;
use candle_wsss::{ClassLayout, ImageLabels};

use crate::fixture::Fixture;

/// Float64 against vectors stored in float32.
pub(crate) const TENSOR: f64 = 2e-7;
pub(crate) const SCALAR: f64 = 1e-9;

/// Moves the background channel of a reference to where ours is: last.
pub(crate) fn background_last(maps: &Tensor, background: usize) -> Tensor {
    let classes = maps.dim(1).unwrap();
    let above = maps.narrow(1, 0, background).unwrap();
    let below = maps.narrow(1, background + 1, classes - background - 1).unwrap();
    Tensor::cat(&[above, below, maps.narrow(1, background, 1).unwrap()], 1).unwrap()
}

pub(crate) fn labels(f: &Fixture) -> ImageLabels {
    let multi_hot = f.tensor("label");
    let layout = ClassLayout::new(multi_hot.dim(1).unwrap()).unwrap();
    ImageLabels::from_multi_hot(&multi_hot, layout).unwrap()
}

/// `(N, c)` spatial means.
pub(crate) fn spatial_mean(maps: &Tensor) -> Tensor {
    maps.flatten(2, 3).unwrap().mean(2).unwrap()
}

/// Float64 variables named as the inputs of a case.
pub(crate) struct Inputs {
    vars: BTreeMap<String, Var>,
}

impl Inputs {
    pub(crate) fn new(f: &Fixture, names: &[&str]) -> Self {
        let var = |name: &&str| (name.to_string(), Var::from_tensor(&f.tensor(name)).unwrap());
        Self { vars: names.iter().map(var).collect() }
    }

    pub(crate) fn get(&self, name: &str) -> &Tensor {
        self.vars[name].as_tensor()
    }

    /// Compares the gradient of `loss` with every stored `grad_{loss_name}__{input}`, whole or in part; what is not
    /// stored is zero.
    pub(crate) fn check_gradients(&self, f: &Fixture, loss_name: &str, loss: &Tensor) {
        let grads = loss.backward().unwrap();
        for (name, var) in &self.vars {
            let grad = grads.get(var).cloned().unwrap_or_else(|| var.zeros_like().unwrap());
            let name = format!("grad_{loss_name}__{name}");
            let stored: Vec<&String> = f.json["tensors"]
                .as_object()
                .unwrap()
                .keys()
                .filter(|key| **key == name || key.starts_with(&format!("{name}__")))
                .collect();
            for key in &stored {
                f.check(key, &part(&grad, key[name.len()..].trim_start_matches('_')), TENSOR);
            }
            if stored.is_empty() {
                assert_close(&format!("{}: {name}", f.name), &grad, &var.zeros_like().unwrap(), 0.0).unwrap();
            }
        }
    }
}

// Large gradients are stored as some channels, `ch0_32`, and as norms over space and over channels.
fn part(grad: &Tensor, which: &str) -> Tensor {
    let norm = |over: &[usize]| grad.sqr().unwrap().sum(over.to_vec()).unwrap().sqrt().unwrap();
    match which {
        "" => grad.clone(),
        "channel_l2" => norm(&[2, 3]),
        "pixel_l2" => norm(&[1]),
        range => {
            let (first, end) = range.strip_prefix("ch").and_then(|range| range.split_once('_')).unwrap();
            let (first, end): (usize, usize) = (first.parse().unwrap(), end.parse().unwrap());
            grad.narrow(1, first, end - first).unwrap()
        }
    }
}

/// A tensor of rank 4 as numbers.
#[derive(Clone)]
pub(crate) struct Grid {
    pub(crate) dims: [usize; 4],
    values: Vec<f64>,
}

impl Grid {
    pub(crate) fn zeros(dims: [usize; 4]) -> Self {
        Self { dims, values: vec![0.0; dims.iter().product()] }
    }

    pub(crate) fn of(tensor: &Tensor) -> Self {
        let (n, c, h, w) = tensor.dims4().unwrap();
        let values = tensor.detach().to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        Self { dims: [n, c, h, w], values }
    }

    pub(crate) fn tensor(&self) -> Tensor {
        let [n, c, h, w] = self.dims;
        Tensor::from_vec(self.values.clone(), (n, c, h, w), &candle_core::Device::Cpu).unwrap()
    }

    fn index(&self, [n, c, y, x]: [usize; 4]) -> usize {
        ((n * self.dims[1] + c) * self.dims[2] + y) * self.dims[3] + x
    }

    pub(crate) fn at(&self, place: [usize; 4]) -> f64 {
        self.values[self.index(place)]
    }

    pub(crate) fn set(&mut self, place: [usize; 4], value: f64) {
        let index = self.index(place);
        self.values[index] = value;
    }

    /// Every place, row-major.
    pub(crate) fn places(&self) -> Vec<[usize; 4]> {
        let [n, c, h, w] = self.dims;
        (0..n * c * h * w).map(|i| [i / (c * h * w), i / (h * w) % c, i / w % h, i % w]).collect()
    }

    /// Every `(y, x)`, row-major.
    pub(crate) fn pixels(&self) -> Vec<(usize, usize)> {
        (0..self.dims[2] * self.dims[3]).map(|i| (i / self.dims[3], i % self.dims[3])).collect()
    }

    pub(crate) fn map(&self, f: impl Fn([usize; 4], f64) -> f64) -> Self {
        let mut out = self.clone();
        for place in self.places() {
            out.set(place, f(place, self.at(place)));
        }
        out
    }

    /// Bilinear, aligned corners.
    pub(crate) fn resized(&self, height: usize, width: usize) -> Self {
        let [n, c, h, w] = self.dims;
        let tap = |i: usize, from: usize, to: usize| {
            let source = if to > 1 { i as f64 * (from - 1) as f64 / (to - 1) as f64 } else { 0.0 };
            let low = (source.floor() as usize).min(from - 1);
            (low, (low + 1).min(from - 1), source - low as f64)
        };
        Self::zeros([n, c, height, width]).map(|[n, c, y, x], _| {
            let (y0, y1, fy) = tap(y, h, height);
            let (x0, x1, fx) = tap(x, w, width);
            let row = |y: usize| self.at([n, c, y, x0]) * (1.0 - fx) + self.at([n, c, y, x1]) * fx;
            row(y0) * (1.0 - fy) + row(y1) * fy
        })
    }
}
