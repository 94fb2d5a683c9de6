//! Memory of inference, in a process of its own: how much is the peak of the whole process.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

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

/// Twice the scale of an image of 1000 x 1000 pixels is a grid of 250 x 250 cells, whose affinity matrix has 15.6 GB.
///
/// At this width the network needs most at its beginning, where it has one channel at every pixel of the scaled image. In
/// memory at once are then, in maps of one float32 a pixel: the image, 3; the scaled image in 8 bits, 1; the input of
/// the first block and the same normalised, 2; two channels at a quarter of the pixels for each of its two branches and
/// their sum, 2. The allocator may keep as much again of what was freed.
#[test]
fn a_large_image_at_twice_its_scale_needs_no_affinity_matrix() {
    const SIDE: usize = 1000;
    let model = network(64);
    let before = status("VmHWM");
    let seeds = infer(&model, SIDE, SIDE);
    let used = status("VmHWM") - before;

    assert_eq!((seeds.height(), seeds.width(), seeds.classes()), (SIDE, SIDE, &[0, 2][..]));
    let pixels = 2 * SIDE * 2 * SIDE;
    let bound = 2 * (3 + 1 + 2 + 2) * pixels * size_of::<f32>();
    assert!(used < bound, "{} MiB, expected less than {}", used / MIB, bound / MIB);
    let matrix = (pixels / 64) * (pixels / 64) * size_of::<f32>();
    assert!(50 * bound < matrix, "the bound says nothing");
}
