//! The dense CRF on images of VOC's size: `cargo bench -p candle-wsss-baselines --bench crf -- [photo.jpg]`.
//!
//! Prints processor time of one image, one JSON object a line, as `benches/peer/crf.py` does for the released code on the
//! same picture and labels; then images a second on one thread and on two.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use candle_core::{Device, Tensor};
use candle_wsss::ops::{CrfKernel, DenseCrf, DenseCrfConfig, refine_label_pair};
use candle_wsss_baselines::crf::{CrfConfig, SeedRefiner};
use candle_wsss_baselines::data::{Filter, read_rgb_image, resize};
use candle_wsss_baselines::infer::SeedMaps;
use candle_wsss_baselines::{Error, Result};
use image::{Rgb, RgbImage};
use rayon::prelude::*;

const WIDTH: usize = 500;
const HEIGHT: usize = 375;
/// Classes an image has, of all there are.
const PRESENT: usize = 4;
const ROUNDS: usize = 3;
/// Images of the measurement of several threads.
const IMAGES: usize = 16;

fn main() -> Result<()> {
    let photo = std::env::args().skip(1).find(|arg| !arg.starts_with("--"));
    let picture = picture(photo.as_deref().map(Path::new), WIDTH, HEIGHT)?;
    let image = tensor(&picture)?;
    let labels: Vec<u32> = pixels(WIDTH, HEIGHT).map(|(x, y)| hashed(x, y, 0) as u32 % PRESENT as u32).collect();
    let labels = Tensor::from_vec(labels, (HEIGHT, WIDTH), &Device::Cpu).map_err(core)?;
    for count in [4, 21, 81] {
        report(&format!("hard, {PRESENT} of {count} labels"), || {
            DenseCrf::new(&image, &DenseCrfConfig::hsc_labels())?.refine_labels(&labels, count)
        })?;
    }
    for (count, own) in [(4, 4), (21, 4), (21, 21), (81, 81)] {
        let maps = Tensor::from_vec(soft(count, own), (count, HEIGHT, WIDTH), &Device::Cpu).map_err(core)?;
        report(&format!("soft, {own} of {count} labels"), || {
            DenseCrf::new(&image, &DenseCrfConfig::seam_soft())?.refine_soft(&maps)
        })?;
    }
    small(photo.as_deref().map(Path::new))?;
    throughput(&picture)
}

// The maps of a step of HSC: a batch of 12, two views each, 16 x 16.
fn small(photo: Option<&Path>) -> Result<()> {
    let images: Vec<Tensor> = (0..24)
        .map(|index| {
            let wide = picture(photo, 16 + index, 16)?;
            let square = RgbImage::from_fn(16, 16, |x, y| *wide.get_pixel(x, y));
            tensor(&square)?.unsqueeze(0).map_err(core)
        })
        .collect::<Result<_>>()?;
    let images = Tensor::cat(&images[..12], 0).map_err(core)?;
    let one: Vec<u32> = pixels(16, 16).map(|(x, y)| hashed(x * 5, y * 5, 0) as u32 % PRESENT as u32).collect();
    let labels = Tensor::from_vec(one.repeat(12), (12, 16, 16), &Device::Cpu).map_err(core)?;
    let pair = candle_wsss::Pair::new(labels.clone(), labels);
    for (kernel, name) in [(CrfKernel::Lattice, ""), (CrfKernel::Exact, ", exact kernel")] {
        let config = DenseCrfConfig { kernel, ..DenseCrfConfig::hsc_labels() };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
        let pool = pool.map_err(|err| Error::Config(err.to_string()))?;
        let what = format!("24 maps of 16x16, hard, {PRESENT} of 21 labels{name}");
        pool.install(|| report(&what, || refine_label_pair(&images, &pair, 21, &config)))?;
    }
    Ok(())
}

fn throughput(picture: &RgbImage) -> Result<()> {
    let maps = soft(PRESENT, PRESENT)[WIDTH * HEIGHT..].to_vec();
    let seeds = SeedMaps::new((0..PRESENT - 1).collect(), HEIGHT, WIDTH, maps)?;
    let refiner = SeedRefiner::new(CrfConfig::seam(4.0))?;
    for threads in [1, 2] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|err| Error::Config(err.to_string()))?;
        let clock = Instant::now();
        pool.install(|| (0..IMAGES).into_par_iter().try_for_each(|_| refiner.mask(picture, &seeds, None).map(drop)))?;
        let rate = IMAGES as f64 / clock.elapsed().as_secs_f64();
        println!("{{\"what\": \"seeds of {PRESENT} labels, {threads} threads\", \"images_per_s\": {rate:.2}}}");
    }
    Ok(())
}

fn report<T>(what: &str, work: impl Fn() -> candle_wsss::Result<T>) -> Result<()> {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let before = thread_milliseconds();
        black_box(work()?);
        best = best.min(thread_milliseconds() - before);
    }
    println!("{{\"what\": \"{what}\", \"ms_cpu\": {best:.2}}}");
    Ok(())
}

// What this thread has used of a processor; wall time where the system does not say.
fn thread_milliseconds() -> f64 {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    let wall = START.get_or_init(Instant::now).elapsed().as_secs_f64() * 1e3;
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse::<f64>().ok()).map_or(wall, |ns| ns / 1e6)
}

fn core(err: candle_core::Error) -> Error {
    candle_wsss::Error::from(err).into()
}

fn tensor(picture: &RgbImage) -> Result<Tensor> {
    let size = (picture.height() as usize, picture.width() as usize, 3);
    Tensor::from_vec(picture.as_raw().clone(), size, &Device::Cpu).map_err(core)
}

fn pixels(width: usize, height: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..height).flat_map(move |y| (0..width).map(move |x| (x, y)))
}

// The same numbers as the script makes.
fn hashed(x: usize, y: usize, label: usize) -> usize {
    ((((x / 25) * 73_856_093) ^ ((y / 25) * 19_349_663) ^ (label * 83_492_791)) >> 3) & 255
}

fn soft(count: usize, own: usize) -> Vec<f32> {
    let map = |label: usize| {
        pixels(WIDTH, HEIGHT)
            .map(move |(x, y)| if label < own { (hashed(x, y, label) + 1) as f32 / 257.0 } else { 0.0 })
    };
    (0..count).flat_map(map).collect()
}

fn picture(path: Option<&Path>, width: usize, height: usize) -> Result<RgbImage> {
    if let Some(path) = path {
        return Ok(resize(&read_rgb_image(path)?, width, height, Filter::Bicubic));
    }
    Ok(RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let level = |c: usize| hashed(x, y, c + 1) / 2 + x / 5 + y / 7 + (x * 7 + y * 13 + c) % 9;
        Rgb([0, 1, 2].map(|c| level(c).min(255) as u8))
    }))
}
