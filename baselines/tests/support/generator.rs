//! The deterministic generator of weights and images that the references share with these tests.

use candle_core::{Device, Tensor};
use rayon::prelude::*;
use serde_json::Value;

/// `offset + scale * s`, or `offset + scale * u`.
#[derive(Clone, Copy)]
pub(crate) enum Draw {
    Weight { std: f64 },
    Symmetric { offset: f64, scale: f64 },
    Unit { offset: f64, scale: f64 },
}

/// The deterministic generator, its rules as the sidecar words them.
pub(crate) struct Generator<'a> {
    pub(crate) rules: &'a Value,
}

impl Generator<'_> {
    pub(crate) fn rule(&self, name: &str) -> &str {
        self.rules[name].as_str().unwrap_or_else(|| panic!("no rule {name}"))
    }

    pub(crate) fn draw_of(&self, name: &str, kind: &str, dims: &[usize]) -> Draw {
        let leaf = name.rsplit('.').next().unwrap();
        let rule = match (kind, leaf) {
            ("BatchNorm2d", leaf) => self.rule(&format!("bn_{leaf}")),
            (_, "bias") => self.rule("conv_or_linear_bias"),
            (_, _) => match &self.rules["conv_weight_overrides"][name] {
                Value::String(rule) => rule,
                _ => self.rule("conv_weight"),
            },
        };
        parse(rule, dims[1..].iter().product())
    }

    pub(crate) fn tensor(&self, name: &str, draw: Draw, dims: &[usize]) -> Tensor {
        let name = format!("{}{name}", self.rule("prefix"));
        let start = name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let len: usize = dims.iter().product();
        let values: Vec<f32> = (0..len).into_par_iter().map(|i| value(start, i, draw) as f32).collect();
        Tensor::from_vec(values, dims, &Device::Cpu).unwrap()
    }
}

fn value(start: u64, index: usize, draw: Draw) -> f64 {
    let z = start.wrapping_add((index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let u = ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24);
    let s = 2.0 * u - 1.0;
    match draw {
        Draw::Weight { std } => (s * 3f64.sqrt()) * std,
        Draw::Symmetric { offset, scale } => offset + scale * s,
        Draw::Unit { offset, scale } => offset + scale * u,
    }
}

pub(crate) fn parse(rule: &str, fan_in: usize) -> Draw {
    let number = |text: &str| text.trim().parse::<f64>().unwrap_or_else(|_| panic!("rule {rule}"));
    if let Some(std) = rule.strip_prefix("(s*sqrt(3))*") {
        let std = std.split([',', ' ']).next().unwrap();
        let std = match std.strip_prefix("sqrt(").and_then(|rest| rest.strip_suffix("/fan_in)")) {
            Some(numerator) => (number(numerator) / fan_in as f64).sqrt(),
            None => number(std),
        };
        return Draw::Weight { std };
    }
    let (offset, product) = rule.split_once('+').unwrap_or(("0", rule));
    let (scale, variable) = product.split_once('*').unwrap_or_else(|| panic!("rule {rule}"));
    let (offset, scale) = (number(offset), number(scale));
    match variable.trim() {
        "s" => Draw::Symmetric { offset, scale },
        "u" => Draw::Unit { offset, scale },
        _ => panic!("rule {rule}"),
    }
}
