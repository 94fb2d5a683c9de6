//! Operations and losses part by part, beside candle's own or what is composed of it: `cargo bench --bench ops`, and with
//! `-- rca` only the rows whose names have that.
//!
//! Ours and candle's run in turns. Times are medians, on one thread and on all; they include the allocator of the system,
//! which the program replaces by a faster one.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

mod rca;

use std::hint::black_box;
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{self, Conv2dSpec, Corners, DenseCrfConfig, DepthwiseSpec};
use candle_wsss::regularizer::hsc::{HscBanks, HscConfig, HscHeads, HscMaps, HscSeeds, evaluate};
use candle_wsss::regularizer::ppc::{self, PpcConfig};
use candle_wsss::seed::Refine;
use candle_wsss::{ClassLayout, Error, ImageLabels, Pair, ParameterStore, Result, Sampler, SeededSampler, View};

/// Time for one case at one number of threads.
const BUDGET: Duration = Duration::from_millis(600);
const MOST_ROUNDS: usize = 200;

type Work<'a> = Box<dyn Fn() -> Result<()> + Send + Sync + 'a>;

/// What is measured, and what it is measured against.
struct Case<'a> {
    name: String,
    ours: Work<'a>,
    candle: Option<Work<'a>>,
}

fn main() -> Result<()> {
    if std::env::args().any(|arg| arg == ROWS) {
        return print_rows();
    }
    let all = rayon::current_num_threads();
    println!("| ms | 1 thread | candle | {all} threads | candle |\n|:--|--:|--:|--:|--:|");
    let (one, many) = (rows(1)?, rows(all)?);
    for ((name, one), (_, many)) in one.iter().zip(&many) {
        println!("| {name} | {one} | {many} |");
    }
    Ok(())
}

/// Argument of a process that measures; the first one only puts their rows together.
const ROWS: &str = "rows";

/// Part of the names of the rows that are asked for; everything unless given.
fn wanted() -> String {
    std::env::args().skip(1).find(|arg| arg != ROWS && !arg.starts_with('-')).unwrap_or_default()
}

// Name and cells. A process of its own, because candle takes the number of its threads from where it starts.
fn rows(threads: usize) -> Result<Vec<(String, String)>> {
    let failed = |err: std::io::Error| Error::value("bench process", err.to_string());
    let mut command = std::process::Command::new(std::env::current_exe().map_err(failed)?);
    command.arg(ROWS).arg(wanted()).env("RAYON_NUM_THREADS", threads.to_string()).env("CANDLE_NUM_THREADS", "1");
    let output = command.stderr(std::process::Stdio::inherit()).output().map_err(failed)?;
    if !output.status.success() {
        return Err(Error::value("bench process", output.status.to_string()));
    }
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.lines().filter_map(|line| line.split_once('\t')).map(|(name, cells)| (name.into(), cells.into())).collect())
}

fn print_rows() -> Result<()> {
    let cases = [
        convolutions()?,
        depthwise()?,
        resizes()?,
        crf()?,
        hsc(Size::EMBEDDED)?,
        hsc(Size::RELEASED)?,
        vec![ppc(Size::EMBEDDED)?, ppc(Size::RELEASED)?],
        vec![ppc(Size::CROPS)?, ppc(Size::CROPS_OF_MANY)?, ppc(Size::FULL)?, ppc(Size::FULL_OF_MANY)?],
        rca::cases(rca::Size::VOC)?,
        rca::cases(rca::Size::COCO)?,
    ];
    let wanted = wanted();
    for case in cases.into_iter().flatten().filter(|case| case.name.contains(&wanted)) {
        println!("{}\t{}", case.name, measure(&case)?.map(cell).join(" | "));
    }
    Ok(())
}

// Medians of both, taken in turns.
fn measure(case: &Case<'_>) -> Result<[Option<Duration>; 2]> {
    let works = [Some(&case.ours), case.candle.as_ref()];
    for work in works.into_iter().flatten() {
        work()?;
    }
    let mut times = [Vec::new(), Vec::new()];
    let start = Instant::now();
    for _ in 0..MOST_ROUNDS {
        for (work, times) in works.into_iter().zip(&mut times) {
            if let Some(work) = work {
                let clock = Instant::now();
                work()?;
                times.push(clock.elapsed());
            }
        }
        if start.elapsed() > BUDGET {
            break;
        }
    }
    Ok(times.map(|mut times| {
        times.sort_unstable();
        times.get(times.len() / 2).copied()
    }))
}

fn cell(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_string(), |time| format!("{:.2}", time.as_secs_f64() * 1e3))
}

fn random(dims: &[usize]) -> Result<Tensor> {
    let name = dims.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let values = SeededSampler::new(0).child(&name).normal(dims.iter().product())?;
    Ok(Tensor::from_vec(values, dims, &Device::Cpu)?.to_dtype(DType::F32)?)
}

fn variable(dims: &[usize]) -> Result<Var> {
    Ok(Var::from_tensor(&random(dims)?)?)
}

fn backward(y: &Tensor) -> Result<()> {
    black_box(y.sum_all()?.backward()?);
    Ok(())
}

// Layers of the small ResNet38d on a batch of crops, then some of the paper's.
fn convolutions() -> Result<Vec<Case<'static>>> {
    // Name, input, kernel, stride, dilation.
    let layers = [
        ("3x3, 16 to 32, stride 2", [8, 16, 48, 48], [32, 16, 3, 3], 2, 1),
        ("3x3, 64 to 64", [8, 64, 12, 12], [64, 64, 3, 3], 1, 1),
        ("3x3, 64 to 128, dilation 2", [8, 64, 12, 12], [128, 64, 3, 3], 1, 2),
        ("1x1, 256 to 512", [8, 256, 12, 12], [512, 256, 1, 1], 1, 1),
        ("3x3, 256 to 256", [1, 256, 56, 56], [256, 256, 3, 3], 1, 1),
        ("3x3, 512 to 512", [2, 512, 28, 28], [512, 512, 3, 3], 1, 1),
        ("3x3, 512 to 512, dilation 2", [2, 512, 28, 28], [512, 512, 3, 3], 1, 2),
        ("1x1, 1024 to 2048", [2, 1024, 28, 28], [2048, 1024, 1, 1], 1, 1),
        ("3x3, 64 to 128, stride 2", [2, 64, 112, 112], [128, 64, 3, 3], 2, 1),
    ];
    let mut cases = Vec::new();
    for (name, input, kernel, stride, dilation) in layers {
        let padding = dilation * (kernel[2] / 2);
        let spec = Conv2dSpec { stride, padding, dilation, groups: 1 };
        let (x, weight) = (variable(&input)?, variable(&kernel)?);
        let (ours_x, ours_weight) = (x.clone(), weight.clone());
        let ours = move || ops::conv2d(ours_x.as_tensor(), ours_weight.as_tensor(), spec);
        let candle = move || x.conv2d(weight.as_tensor(), padding, stride, dilation, 1).map_err(Error::from);
        let name = format!("conv2d {name}, batch {}, {}x{}", input[0], input[2], input[3]);
        cases.extend(both_ways(&name, ours, Some(candle)));
    }
    Ok(cases)
}

// A layer of MobileNetV2, beside the same by the general convolution.
fn depthwise() -> Result<Vec<Case<'static>>> {
    let (x, weight) = (variable(&[8, 192, 24, 24])?, variable(&[192, 1, 3, 3])?);
    let (ours_x, ours_weight) = (x.clone(), weight.clone());
    let spec = DepthwiseSpec { stride: 1, padding: 1, dilation: 1 };
    let ours = move || ops::depthwise_conv2d(ours_x.as_tensor(), ours_weight.as_tensor(), spec);
    let spec = Conv2dSpec { stride: 1, padding: 1, dilation: 1, groups: 192 };
    let grouped = move || ops::conv2d(x.as_tensor(), weight.as_tensor(), spec);
    let mut cases = Vec::from(both_ways("depthwise 3x3, 192 channels, batch 8, 24x24", ours, None::<fn() -> _>));
    cases.extend(both_ways("the same by conv2d with groups", grouped, None::<fn() -> _>));
    Ok(cases)
}

// Forward alone, and with the gradient of everything.
fn both_ways<'a>(
    name: &str,
    ours: impl Fn() -> Result<Tensor> + Clone + Send + Sync + 'a,
    candle: Option<impl Fn() -> Result<Tensor> + Clone + Send + Sync + 'a>,
) -> [Case<'a>; 2] {
    let forward = |f: Box<dyn Fn() -> Result<Tensor> + Send + Sync + 'a>| -> Work<'a> {
        Box::new(move || f().map(|y| drop(black_box(y))))
    };
    let with_gradient =
        |f: Box<dyn Fn() -> Result<Tensor> + Send + Sync + 'a>| -> Work<'a> { Box::new(move || backward(&f()?)) };
    [
        Case {
            name: name.to_string(),
            ours: forward(Box::new(ours.clone())),
            candle: candle.clone().map(|candle| forward(Box::new(candle))),
        },
        Case {
            name: format!("{name}, and gradient"),
            ours: with_gradient(Box::new(ours)),
            candle: candle.map(|candle| with_gradient(Box::new(candle))),
        },
    ]
}

// candle's bilinear interpolation has no gradient.
fn resizes() -> Result<Vec<Case<'static>>> {
    let x = variable(&[8, 9, 12, 12])?;
    let candle_x = x.clone();
    let ours = move || ops::resize_bilinear(x.as_tensor(), (96, 96), Corners::Aligned);
    let candle = move || candle_x.upsample_bilinear2d(96, 96, true).map_err(Error::from);
    let [mut forward, gradient] =
        both_ways("resize_bilinear, batch 8, 9 channels, 12x12 to 96x96", ours, None::<fn() -> _>);
    forward.candle = Some(Box::new(move || candle().map(|y| drop(black_box(y)))));
    Ok(vec![forward, gradient])
}

fn crf() -> Result<Vec<Case<'static>>> {
    let (images, classes, side) = (8, 9, 16);
    let pixels = images * side * side;
    let bytes: Vec<u8> = (0..pixels * 3).map(|i| (i * 37 % 251) as u8).collect();
    let image = Tensor::from_vec(bytes, (images, side, side, 3), &Device::Cpu)?;
    let labels = |seed: usize| -> Result<Tensor> {
        let labels: Vec<u32> = (0..pixels).map(|i| ((i / 5 + seed) % classes) as u32).collect();
        Ok(Tensor::from_vec(labels, (images, side, side), &Device::Cpu)?)
    };
    let labels = Pair::new(labels(0)?, labels(1)?);
    let config = DenseCrfConfig::hsc_labels();
    let ours: Work<'_> = Box::new(move || {
        ops::refine_label_pair(&image, &labels, classes, &config).map(|labels| drop(black_box(labels)))
    });
    Ok(vec![Case { name: "dense_crf, 16 grids of 16x16, 10 iterations".to_string(), ours, candle: None }])
}

/// Sizes HSC is used at.
#[derive(Clone, Copy)]
struct Size {
    name: &'static str,
    foreground: usize,
    feature_dim: usize,
    // Sides of the maps of both views.
    maps: [usize; 2],
    grid: usize,
    pixel_dim: usize,
    region_dim: usize,
}

impl Size {
    const EMBEDDED: Self = Self {
        name: "embedded",
        foreground: 8,
        feature_dim: 512,
        maps: [12, 8],
        grid: 8,
        pixel_dim: 64,
        region_dim: 64,
    };
    const RELEASED: Self = Self {
        name: "released",
        foreground: 20,
        feature_dim: 4096,
        maps: [16, 16],
        grid: 16,
        pixel_dim: 128,
        region_dim: 256,
    };
    /// The released sizes of PPC: maps of a crop of 448 and of one of 128.
    const CROPS: Self = Self { name: "56x56 and 16x16 to 16x16", maps: [56, 16], ..Self::RELEASED };
    const CROPS_OF_MANY: Self = Self { name: "the same, 81 classes", foreground: 80, ..Self::CROPS };
    /// Without the reduction.
    const FULL: Self = Self { name: "56x56", maps: [56, 56], grid: 56, ..Self::RELEASED };
    const FULL_OF_MANY: Self = Self { name: "56x56, 81 classes", foreground: 80, ..Self::FULL };
}

/// What HSC is given.
#[derive(Clone)]
struct Inputs {
    config: HscConfig,
    heads: HscHeads,
    banks: HscBanks,
    labels: ImageLabels,
    features: Pair<Tensor>,
    cams: Pair<Tensor>,
    target: View,
    maps: Pair<HscMaps>,
}

impl Inputs {
    fn new(size: Size) -> Result<Self> {
        const BATCH: usize = 8;
        let layout = ClassLayout::new(size.foreground)?;
        let config = HscConfig {
            grid: (size.grid, size.grid),
            pixel_dim: size.pixel_dim,
            region_dim: size.region_dim,
            ..HscConfig::default()
        };
        let map = |channels: usize, side: usize| -> Result<Tensor> {
            Ok(variable(&[BATCH, channels, side, side])?.as_tensor().clone())
        };
        let vb = ParameterStore::new().var_builder(0, DType::F32, &Device::Cpu);
        let present =
            (0..BATCH).map(|image| vec![image % size.foreground, (3 * image + 1) % size.foreground]).collect();
        let views = Pair::new(size.maps[0], size.maps[1]);
        let maps = || -> Result<HscMaps> {
            Ok(HscMaps { pixel: map(size.pixel_dim, size.grid)?, region: map(size.region_dim, size.grid)? })
        };
        Ok(Self {
            heads: HscHeads::new(size.feature_dim, &config, &vb)?,
            banks: HscBanks::normal(&config, layout, DType::F32, &Device::Cpu, &SeededSampler::new(0))?,
            labels: ImageLabels::new(present, layout, DType::F32, &Device::Cpu)?,
            features: views.try_map(|side| map(size.feature_dim, side))?,
            cams: views.try_map(|side| random(&[BATCH, layout.num_classes(), side, side]))?,
            target: View::new(random(&[BATCH, 3, 8 * size.maps[1], 8 * size.maps[1]])?)?,
            maps: Pair::new(maps()?, maps()?),
            config,
        })
    }

    fn heads(&self) -> Result<Tensor> {
        let maps = self.features.as_ref().try_map(|x| self.heads.forward(x))?;
        maps.try_map(|maps| maps.pixel.sum_all()? + maps.region.sum_all()?)?.mean()
    }

    fn seeds(&self, config: &HscConfig) -> Result<HscSeeds> {
        HscSeeds::new(self.cams.as_ref(), &self.target, &self.labels, config)
    }
}

// Heads, seeds and levels apart, then the levels one by one.
fn hsc(size: Size) -> Result<Vec<Case<'static>>> {
    let inputs = Inputs::new(size)?;
    let config = inputs.config.clone();
    let seeds = inputs.seeds(&config)?;
    let heads: Work<'static> = {
        let inputs = inputs.clone();
        Box::new(move || backward(&inputs.heads()?))
    };
    let seeds_of = |config: HscConfig| -> Work<'static> {
        let inputs = inputs.clone();
        Box::new(move || inputs.seeds(&config).map(|seeds| drop(black_box(seeds))))
    };
    let levels_of = |config: HscConfig| -> Work<'static> {
        let (inputs, seeds) = (inputs.clone(), seeds.clone());
        Box::new(move || {
            let Inputs { maps, labels, banks, .. } = &inputs;
            match evaluate(maps, &seeds, labels, banks, &config)?.terms.total()? {
                Some(loss) => backward(&loss),
                None => Ok(()),
            }
        })
    };
    let mut works = vec![
        ("heads, and gradient".to_string(), heads),
        ("seeds".to_string(), seeds_of(config.clone())),
        ("seeds without CRF".to_string(), seeds_of(HscConfig { refine: Refine::None, ..config.clone() })),
        ("all levels, and gradient".to_string(), levels_of(config.clone())),
    ];
    for level in ["roi", "class", "pixel"] {
        let mut only = config.clone();
        only.roi.enabled = level == "roi";
        only.class.enabled = level == "class";
        only.pixel.enabled = level == "pixel";
        works.push((format!("{level} level, and gradient"), levels_of(only)));
    }
    let case = |(what, ours)| Case { name: format!("hsc, {} size: {what}", size.name), ours, candle: None };
    Ok(works.into_iter().map(case).collect())
}

// All terms of PPC once the features are projected.
fn ppc(size: Size) -> Result<Case<'static>> {
    const BATCH: usize = 8;
    let layout = ClassLayout::new(size.foreground)?;
    let sides = Pair::new(size.maps[0], size.maps[1]);
    let projected =
        sides.try_map(|side| Ok::<_, Error>(variable(&[BATCH, size.pixel_dim, side, side])?.as_tensor().clone()))?;
    let cams = sides.try_map(|side| random(&[BATCH, layout.num_classes(), side, side]))?;
    let present = (0..BATCH).map(|image| vec![image % size.foreground, (3 * image + 1) % size.foreground]).collect();
    let labels = ImageLabels::new(present, layout, DType::F32, &Device::Cpu)?;
    let config = PpcConfig { grid: (size.grid, size.grid), ..PpcConfig::default() };
    let ours: Work<'_> = Box::new(move || {
        match ppc::evaluate(&projected, cams.as_ref(), &labels, &config, &SeededSampler::new(0))?.terms.total()? {
            Some(loss) => backward(&loss),
            None => Ok(()),
        }
    });
    Ok(Case { name: format!("ppc, {}: all terms, and gradient", size.name), ours, candle: None })
}
