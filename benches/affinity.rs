//! The pixel correlation in tiles, with the memory it takes, and HSC with the exact CRF:
//! `cargo bench --bench affinity`. Linux only. One thread unless `RAYON_NUM_THREADS` says otherwise.
//!
//! Every case runs in a process of its own, because a process forgets no peak. Memory is what is resident at most above
//! what inputs and code take; times are medians.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program of measurements")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{self, Corners, CrfKernel, DenseCrfConfig, affinity_mean, affinity_mean_composed, unit_added};
use candle_wsss::regularizer::hsc::{HscBanks, HscConfig, HscMaps, HscSeeds, evaluate};
use candle_wsss::seed::Refine;
use candle_wsss::{ClassLayout, ImageLabels, Pair, Result, Sampler, SeededSampler, View};

const BUDGET: Duration = Duration::from_secs(2);
const EPSILON: f64 = 1e-5;
const MIB: f64 = (1 << 20) as f64;

type Mean = fn(&Tensor, &Tensor, f64) -> Result<Tensor>;

/// Images, channels of the features, maps and side of the grid.
const SHAPES: [[usize; 4]; 3] = [[8, 64, 9, 12], [1, 192, 21, 56], [1, 192, 21, 112]];

fn main() {
    let argument = std::env::args().nth(1).filter(|argument| argument != "--bench");
    for form in ["fused", "composed"] {
        for (number, shape) in SHAPES.into_iter().enumerate() {
            case(argument.as_deref(), &format!("{form}-{number}"), || pixel_correlation(form, shape));
        }
    }
    case(argument.as_deref(), "crf", crf);
    case(argument.as_deref(), "hsc", hsc);
}

/// Measures where it is asked for by name, else in a process of its own.
fn case(argument: Option<&str>, name: &str, measure: impl FnOnce()) {
    match argument {
        Some(argument) if argument == name => measure(),
        Some(_) => {}
        None => print!("{}", child(name)),
    }
}

fn child(name: &str) -> String {
    let threads = std::env::var("RAYON_NUM_THREADS").unwrap_or_else(|_| "1".to_string());
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    let command = command.arg(name).env("RAYON_NUM_THREADS", &threads).env("CANDLE_NUM_THREADS", threads);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn pixel_correlation(form: &str, [images, dim, classes, side]: [usize; 4]) {
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

/// The released code's batch: both views of 12 images at 16 x 16, two classes and the background in each.
const BATCH: usize = 12;
const GRID: usize = 16;
const CLASSES: usize = 21;

const EXACT: DenseCrfConfig = DenseCrfConfig { kernel: CrfKernel::Exact, ..DenseCrfConfig::hsc_labels() };

fn crf() {
    let pixels = BATCH * GRID * GRID;
    let bytes: Vec<u8> = (0..pixels * 3).map(|i| (i * 37 % 251) as u8).collect();
    let images = Tensor::from_vec(bytes, (BATCH, GRID, GRID, 3), &Device::Cpu).unwrap();
    let labels = |seed: usize, classes: usize| {
        let label = |i: usize| match (i / 5 + seed) % classes {
            0 => CLASSES - 1,
            class => (i / (GRID * GRID) + class) % (CLASSES - 1),
        };
        let labels: Vec<u32> = (0..pixels).map(|i| label(i) as u32).collect();
        Tensor::from_vec(labels, (BATCH, GRID, GRID), &Device::Cpu).unwrap()
    };
    for classes in [3, CLASSES] {
        let pair = Pair::new(labels(0, classes), labels(1, classes));
        let time = median(|| drop(black_box(ops::refine_label_pair(&images, &pair, CLASSES, &EXACT).unwrap())));
        println!("exact crf, {} maps of 16x16, {classes} labels in each: {time:.2} ms", 2 * BATCH);
    }
}

fn hsc() {
    let sides = Pair::new(56, GRID);
    let layout = ClassLayout::new(CLASSES - 1).unwrap();
    let present = (0..BATCH).map(|image| vec![image, (image + 5) % (CLASSES - 1)]).collect();
    let labels = ImageLabels::new(present, layout, DType::F32, &Device::Cpu).unwrap();
    let cams = sides.map(|side| random(&[BATCH, CLASSES, side, side]));
    let target = View::new(random(&[BATCH, 3, 128, 128])).unwrap();
    let config = HscConfig { refine: Refine::DenseCrf(EXACT), ..HscConfig::default() };
    let banks = HscBanks::normal(&config, layout, DType::F32, &Device::Cpu, &SeededSampler::new(0)).unwrap();
    let var = |dims: [usize; 4]| Var::from_tensor(&random(&dims)).unwrap();
    let maps = sides.map(|side| [config.pixel_dim, config.region_dim].map(|dim| var([BATCH, dim, side, side])));
    let maps =
        maps.map(|[pixel, region]| HscMaps { pixel: pixel.as_tensor().clone(), region: region.as_tensor().clone() });
    let seeds_of = |config: &HscConfig| HscSeeds::new(cams.as_ref(), &target, &labels, config).unwrap();
    let total = |config: &HscConfig, seeds: &HscSeeds, maps: &Pair<HscMaps>| {
        let loss = evaluate(maps, seeds, &labels, &banks, config).unwrap().terms.total().unwrap().unwrap();
        black_box(loss.backward().unwrap());
    };
    let plain = HscConfig { refine: Refine::None, ..config.clone() };
    let seeds = seeds_of(&config);
    println!("hsc seeds: {:.2} ms", median(|| drop(black_box(seeds_of(&plain)))));
    println!("hsc seeds with exact crf: {:.2} ms", median(|| drop(black_box(seeds_of(&config)))));
    let resize = || {
        let small = maps.source.resized((GRID, GRID)).unwrap();
        black_box((small.pixel.sum_all().unwrap() + small.region.sum_all().unwrap()).unwrap().backward().unwrap());
    };
    println!("hsc resizing, and gradient: {:.2} ms", median(resize));
    println!("hsc resizing alone: {:.2} ms", median(|| drop(black_box(maps.source.resized((GRID, GRID)).unwrap()))));
    let grad = random(&[BATCH, config.region_dim, GRID, GRID]);
    let enlarged = || drop(black_box(ops::resize_bilinear(&grad, (56, 56), Corners::Aligned).unwrap()));
    println!("hsc enlarging 16x16 to 56x56: {:.2} ms", median(enlarged));
    println!("hsc levels, and gradient: {:.2} ms", median(|| total(&config, &seeds, &maps)));
    let small = maps.as_ref().try_map(|maps| maps.resized((GRID, GRID))).unwrap();
    let small = small.map(|maps| {
        let leaf = |map: &Tensor| Var::from_tensor(&map.detach()).unwrap().as_tensor().clone();
        HscMaps { pixel: leaf(&maps.pixel), region: leaf(&maps.region) }
    });
    for name in ["roi", "class", "pixel"] {
        let mut only = config.clone();
        (only.roi.enabled, only.class.enabled, only.pixel.enabled) = (name == "roi", name == "class", name == "pixel");
        println!("hsc {name} level at 16x16, and gradient: {:.2} ms", median(|| total(&only, &seeds, &small)));
    }
    println!("hsc with exact crf: {:.2} ms", median(|| total(&config, &seeds_of(&config), &maps)));
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
