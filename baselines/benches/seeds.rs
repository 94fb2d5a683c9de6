//! What an image costs beside the network: on the way in, on the way out, and when its seeds are read again.
//!
//! `cargo bench -p candle-wsss-baselines --bench seeds`. Milliseconds of processor time of one thread for an image of
//! VOC's usual size, the least of several runs.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program of measurements")]

use std::hint::black_box;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, Mode, Normalization, Objective, ParameterGroup, Sampler, Step, View,
    ViewOutput,
};
use candle_wsss_baselines::data::{Mask, write_mask};
use candle_wsss_baselines::infer::{InferConfig, Precision, infer_image, read_seeds, write_grid_seeds, write_seeds};
use image::{Rgb, RgbImage};

const WIDTH: u32 = 500;
const HEIGHT: u32 = 375;
const LABELS: [usize; 2] = [3, 11];
const STRIDE: usize = 8;

/// Maps of the right size for nothing.
struct Nothing(BaselineSpec);

impl Baseline for Nothing {
    fn spec(&self) -> &BaselineSpec {
        &self.0
    }

    fn forward(&self, view: &View, _mode: Mode<'_>) -> candle_wsss::Result<ViewOutput> {
        let (n, _, height, width) = view.image().dims4()?;
        let (h, w, layout) = (height.div_ceil(STRIDE), width.div_ceil(STRIDE), self.0.layout);
        let ramp = Tensor::arange(0f32, (n * h * w) as f32, &Device::Cpu)?.reshape((n, 1, h, w))?;
        let cam = (ramp.broadcast_as((n, layout.num_classes(), h, w))? / (h * w) as f64)?;
        Ok(ViewOutput {
            logits: Tensor::zeros((n, layout.num_foreground()), DType::F32, &Device::Cpu)?,
            features: cam.narrow(1, 0, 1)?,
            refined_cam: None,
            cam,
        })
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> candle_wsss::Result<Objective> {
        Err(candle_wsss::Error::value("objective", "nothing is trained here"))
    }

    fn parameter_group(&self, _name: &str) -> ParameterGroup {
        ParameterGroup::Frozen
    }
}

fn measure<T>(what: &str, mut work: impl FnMut() -> T) -> T {
    let mut least = f64::INFINITY;
    for _ in 0..15 {
        let start = Instant::now();
        black_box(work());
        least = least.min(start.elapsed().as_secs_f64());
    }
    println!("{what:56} {:8.2} ms", 1e3 * least);
    work()
}

fn main() {
    rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(all);
}

fn all() {
    let layout = ClassLayout::new(20).unwrap();
    let model = Nothing(BaselineSpec { layout, feature_dim: 1, stride: STRIDE });
    let image = RgbImage::from_fn(WIDTH, HEIGHT, |x, y| Rgb([(x * y % 251) as u8, (x + y) as u8, (x * 7 % 241) as u8]));
    let (config, device) = (InferConfig::default(), Device::Cpu);
    println!("{WIDTH} x {HEIGHT}, {} classes, scales {:?} and mirrored", LABELS.len(), config.scales);
    let run = || infer_image(&model, &image, &LABELS, &config, Normalization::IMAGENET, &device).unwrap();
    let seeds = measure("in: scaled, mirrored, normalised, maps summed", run).seeds;
    let rounded = measure("out: rounded", || seeds.rounded().unwrap());
    let maps = measure("out: resized, summed, normalised", || rounded.seed_maps().unwrap());
    let data = measure("out: labels", || maps.labels(0.26));
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mask = Mask { width: WIDTH as usize, height: HEIGHT as usize, data };
    measure("out: PNG written", || write_mask(path("a.png"), &mask).unwrap());
    measure("out: array written, version 2", || write_grid_seeds(&path("two"), &rounded).unwrap());
    measure("out: array written, version 1", || write_seeds(&path("one"), &maps, Precision::Half).unwrap());
    measure("read, version 2", || read_seeds(&path("two")).unwrap());
    measure("read, version 1", || read_seeds(&path("one")).unwrap());
    for name in ["two", "one"] {
        println!("{name}: {} bytes", std::fs::metadata(path(name)).unwrap().len());
    }
}
