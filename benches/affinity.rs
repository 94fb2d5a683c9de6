//! The pixel correlation in tiles, with the memory it takes, and HSC with the exact CRF:
//! `cargo bench --bench affinity`. Linux only. One thread unless `RAYON_NUM_THREADS` says otherwise.
//!
//! Every case runs in a process of its own, because a process forgets no peak. Memory is what is resident at most above
//! what inputs and code take; times are medians.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program of measurements")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::Result;
use candle_wsss::ops::{affinity_mean, affinity_mean_composed, unit_added};
use candle_wsss::{Sampler, SeededSampler};

const BUDGET: Duration = Duration::from_secs(2);
const EPSILON: f64 = 1e-5;
const MIB: f64 = (1 << 20) as f64;

type Mean = fn(&Tensor, &Tensor, f64) -> Result<Tensor>;

/// Images, channels of the features, maps and side of the grid.
const SHAPES: [[usize; 4]; 3] = [[8, 64, 9, 12], [1, 192, 21, 56], [1, 192, 21, 112]];

fn main() {
    let argument = std::env::args().nth(1).filter(|argument| argument != "--bench");
    let cases = ["fused", "composed"].into_iter().flat_map(|form| (0..SHAPES.len()).map(move |shape| (form, shape)));
    for (form, shape) in cases {
        let name = format!("{form}-{shape}");
        match &argument {
            Some(argument) if *argument == name => measure(form, SHAPES[shape]),
            Some(_) => {}
            None => print!("{}", child(&name)),
        }
    }
}

fn child(name: &str) -> String {
    let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "1".to_string());
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let command = command.arg(name).env("RAYON_NUM_THREADS", &threads).env("CANDLE_NUM_THREADS", threads);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn measure(form: &str, [images, dim, classes, side]: [usize; 4]) {
    let mean: Mean = if form == "fused" { affinity_mean } else { affinity_mean_composed };
    let maps = random(&[images, classes, side * side]);
    let features = Var::from_tensor(&random(&[images, dim, side * side])).unwrap();
    // The code is read in before memory is looked at.
    let small = Var::from_tensor(&random(&[1, 4, 16])).unwrap();
    step(mean, &random(&[1, 2, 16]), &small, true);
    let before = status("VmRSS");
    let forward = median(|| step(mean, &maps, &features, false));
    let both = median(|| step(mean, &maps, &features, true));
    let peak = (status("VmHWM") - before) / MIB;
    let size = format!("{images} x {side}x{side}, {dim} channels, {classes} maps");
    println!("pcm {form}, {size}: forward {forward:.2} ms, with gradient {both:.2} ms, at most {peak:.1} MiB");
}

fn step(mean: Mean, maps: &Tensor, features: &Var, backward: bool) {
    let unit = unit_added(features, 1, EPSILON).unwrap();
    let result = mean(maps, &unit, EPSILON).unwrap();
    if backward {
        black_box(result.sqr().unwrap().sum_all().unwrap().backward().unwrap());
    }
}

fn median(work: impl Fn()) -> f64 {
    let start = Instant::now();
    let mut times = Vec::new();
    while times.len() < 3 || start.elapsed() < BUDGET {
        let clock = Instant::now();
        work();
        times.push(clock.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn random(dims: &[usize]) -> Tensor {
    let values = SeededSampler::new(0).normal(dims.iter().product()).unwrap();
    Tensor::from_vec(values, dims, &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap()
}

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}
