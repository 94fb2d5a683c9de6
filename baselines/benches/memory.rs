//! Peak memory of inference at twice the scale, ResNet38d at its full width: `cargo bench --bench memory`, minutes and
//! gigabytes. Linux only.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of measurements")]

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_wsss::{ClassLayout, Normalization, ParameterStore};
use candle_wsss_baselines::backbone::{BackboneConfig, ResNet38dConfig};
use candle_wsss_baselines::infer::{InferConfig, SeedMaps, infer_image};
use candle_wsss_baselines::seam::{Seam, SeamConfig};
use image::{Rgb, RgbImage};

const MIB: usize = 1 << 20;

/// A field of `/proc/self/status`, in bytes.
fn status(field: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

/// A network on constant tensors, as inference has it.
fn network(width_divisor: usize) -> Seam {
    let backbone = BackboneConfig::ResNet38d(ResNet38dConfig { width_divisor, ..ResNet38dConfig::default() });
    let config = SeamConfig { backbone, ..SeamConfig::default() };
    let (store, layout) = (ParameterStore::new(), ClassLayout::new(3).unwrap());
    Seam::new(config.clone(), layout, store.var_builder(1, DType::F32, &Device::Cpu)).unwrap();
    let tensors: HashMap<String, Tensor> = store.snapshot().unwrap().into_iter().collect();
    Seam::new(config, layout, VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).unwrap()
}

fn picture(width: usize, height: usize) -> RgbImage {
    let value = |x: u32, y: u32, c: u32| ((x / 7 * 37 + y / 5 * 59 + c * 83) % 256) as u8;
    RgbImage::from_fn(width as u32, height as u32, |x, y| Rgb([value(x, y, 0), value(x, y, 1), value(x, y, 2)]))
}

/// Seeds at twice the scale of an image. What is run of its mirror image comes after it and needs the same again, not more.
fn infer(model: &Seam, width: usize, height: usize) -> SeedMaps {
    let config = InferConfig { scales: vec![2.0], flip: false, ..InferConfig::default() };
    let image = picture(width, height);
    let inference = infer_image(model, &image, &[0, 2], &config, Normalization::IMAGENET, &Device::Cpu).unwrap();
    inference.seeds.seed_maps().unwrap()
}

fn main() {
    let model = network(1);
    println!("parameters: {} MiB", status("VmRSS") / MIB);
    // Smallest first, since a process forgets no peak.
    for (width, height) in [(500, 375), (640, 480), (1000, 1000)] {
        let before = status("VmRSS");
        infer(&model, width, height);
        println!("{width} x {height}: {} MiB on top of {}", (status("VmHWM") - before) / MIB, before / MIB);
    }
}
