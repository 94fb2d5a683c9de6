//! A report as a real comparison would make it: two methods, three repeats, drawn scenes instead of photographs.

use candle_wsss::{Sampler, SeededSampler};
use candle_wsss_baselines::data::color_map;
use candle_wsss_baselines::eval::{
    AbsentClass, BootstrapConfig, ClassCounts, ImageHistogram, Sweep, ThresholdGrid, bootstrap_difference, cross_fit,
};
use candle_wsss_baselines::infer::SeedMaps;
use candle_wsss_baselines::report::{
    Gallery, GalleryRow, Layer, LossCurve, Method, OmittedCount, Pen, PictureFormat, Protocol, Repeat, Report,
    ReportClass, extremes,
};
use image::{Rgb, RgbImage};

pub(crate) const CLASSES: [&str; 7] = ["background", "cat", "cow", "dog", "horse", "person", "sheep"];
const METHODS: [&str; 3] = ["SEAM", "SEAM + HSC", "SEAM + HSC, no memory"];
const SEEDS: [u64; 3] = [0, 1, 2];
const IMAGES: usize = 24;
const FIXED: f64 = 0.26;

/// A scene: an image, its ground truth, and the classes it has.
pub(crate) struct Scene {
    pub(crate) image: RgbImage,
    pub(crate) truth: Vec<u8>,
    /// Label, and distance of every pixel from the centre in units of the radius.
    blobs: Vec<(u8, Vec<f64>)>,
}

pub(crate) fn scene(index: usize) -> Scene {
    let mut draws = SeededSampler::new(index as u64).child("scene");
    let u = draws.uniform(16).unwrap();
    let (width, height) = if index % 3 == 1 { (72, 96) } else { (96, 72) };
    let count = if u[0] < 0.3 { 2 } else { 1 };
    let mut blobs = Vec::new();
    for blob in 0..count {
        let u = &u[1 + 6 * blob..];
        let label = 1 + (index + 3 * blob) % 6;
        let centre = ((0.25 + 0.5 * u[1]) * f64::from(width), (0.3 + 0.4 * u[2]) * f64::from(height));
        let radius = ((0.14 + 0.14 * u[3]) * f64::from(width), (0.16 + 0.16 * u[4]) * f64::from(height));
        let distance =
            |x: u32, y: u32| ((f64::from(x) - centre.0) / radius.0).hypot((f64::from(y) - centre.1) / radius.1);
        blobs.push((
            label as u8,
            (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| distance(x, y)).collect(),
        ));
    }
    let label_at = |pixel: usize| {
        let near = |limit: f64| blobs.iter().find(|(_, d): &&(u8, Vec<f64>)| d[pixel] < limit).map(|(label, _)| *label);
        near(0.95).or_else(|| near(1.1).map(|_| 255)).unwrap_or(0)
    };
    let truth: Vec<u8> = (0..(width * height) as usize).map(label_at).collect();
    let image = RgbImage::from_fn(width, height, |x, y| {
        let pixel = (y * width + x) as usize;
        let grain = f64::from((x * 7919 + y * 104_729 + x * y * 31) % 29) - 14.0;
        let sky = f64::from(y) / f64::from(height);
        let base = [150.0 - 60.0 * sky, 180.0 - 50.0 * sky, 200.0 - 120.0 * sky];
        let fur = |label: u8| [90.0 + 18.0 * f64::from(label), 70.0 + 12.0 * f64::from(label), 60.0];
        let color = if matches!(truth[pixel], 0 | 255) { base } else { fur(truth[pixel]) };
        Rgb(color.map(|value| (value + grain).clamp(0.0, 255.0) as u8))
    });
    Scene { image, truth, blobs }
}

/// Scores that fall off around the centre of every object; the better the method, the closer to its outline.
fn seed_maps(scene: &Scene, index: usize, quality: f64, seed: u64) -> SeedMaps {
    let mut blobs: Vec<&(u8, Vec<f64>)> = scene.blobs.iter().collect();
    blobs.sort_by_key(|(label, _)| *label);
    let noise = SeededSampler::new(seed).child(&format!("{index}")).uniform(2 * blobs.len()).unwrap();
    let mut maps = Vec::new();
    for (blob, (_, distances)) in blobs.iter().enumerate() {
        let reach = 0.75 + 0.5 * quality + 0.3 * (noise[2 * blob] - 0.5);
        let sharp = 1.5 + 3.0 * quality + noise[2 * blob + 1];
        maps.extend(distances.iter().map(|d| (1.0 / (1.0 + (d / reach).powf(sharp)) - 0.02) as f32));
    }
    let classes = blobs.iter().map(|(label, _)| usize::from(*label) - 1).collect();
    SeedMaps::new(classes, scene.image.height() as usize, scene.image.width() as usize, maps).unwrap()
}

fn losses(seed: u64, with_hsc: bool, memory: bool) -> Vec<LossCurve> {
    let steps = 900;
    let mut terms = vec![("cls", 1.0, 0.69, 0.12), ("er", 1.0, 0.05, 0.02), ("ecr", 1.0, 0.4, 0.18)];
    if with_hsc {
        terms.extend([
            ("hsc/roi", 1.0, 1.8, 0.9),
            ("hsc/class", 1.0, 2.3, 1.2),
            ("hsc/pixel/prototype", 0.1, 1.9, 1.1),
        ]);
    }
    if memory {
        terms.push(("hsc/pixel/memory", 0.1, 7.2, 6.1));
    }
    let curve = |(term, weight, from, to): (&str, f64, f64, f64)| {
        let noise = SeededSampler::new(seed).child(term).uniform(steps).unwrap();
        let value = |step: usize| (to + (from - to) * (-(step as f64) / 180.0).exp()) * (0.8 + 0.4 * noise[step]);
        LossCurve { term: term.to_string(), weight, points: (0..steps).map(|step| (step, value(step))).collect() }
    };
    terms.into_iter().map(curve).collect()
}

struct Evaluated {
    repeats: Vec<Repeat>,
    counts: Vec<Vec<ClassCounts>>,
    first_best: f64,
}

fn evaluate(method: usize, scenes: &[Scene]) -> Evaluated {
    let thresholds = ThresholdGrid::default().thresholds().unwrap();
    let empty = Sweep::new(CLASSES.len(), thresholds).unwrap();
    let mut evaluated = Evaluated { repeats: Vec::new(), counts: Vec::new(), first_best: 0.0 };
    for seed in SEEDS {
        let quality = [0.30, 0.42, 0.36][method] + 0.02 * seed as f64;
        let mut sweep = empty.clone();
        let mut images: Vec<ImageHistogram> = Vec::new();
        for (index, scene) in scenes.iter().enumerate() {
            let image = sweep.image(&scene.truth, &seed_maps(scene, index, quality, seed)).unwrap();
            sweep.add_image(&image).unwrap();
            images.push(image);
        }
        let curve = sweep.curve();
        let best = curve.best(AbsentClass::AsZero).unwrap();
        if seed == SEEDS[0] {
            evaluated.first_best = best.threshold;
        }
        evaluated.counts.push(images.iter().map(|image| image.class_counts(best.index).unwrap()).collect());
        let omitted = OmittedCount {
            term: "hsc/class".to_string(),
            reason: "no foreground class in the batch".to_string(),
            steps: 3 + seed as usize,
        };
        let cross_fitted = cross_fit(&empty, &images, 4, AbsentClass::AsZero).unwrap().unwrap().confusion;
        evaluated.repeats.push(Repeat {
            cross_fitted: cross_fitted.mean_iou(AbsentClass::AsZero),
            losses: losses(seed + 10 * method as u64, method > 0, method == 1),
            omitted: if method > 0 { vec![omitted] } else { vec![] },
            training_seconds: Some(1830.0 + 700.0 * method as f64),
            ..Repeat::from_curve(seed, &curve, FIXED, AbsentClass::AsZero).unwrap()
        });
    }
    evaluated
}

pub(crate) fn report() -> Report {
    let scenes: Vec<Scene> = (0..IMAGES).map(scene).collect();
    let evaluated: Vec<Evaluated> = (0..METHODS.len()).map(|method| evaluate(method, &scenes)).collect();
    let mut methods = Vec::new();
    for (index, (name, of)) in METHODS.iter().zip(&evaluated).enumerate() {
        let config = BootstrapConfig { resamples: 200, ..BootstrapConfig::default() };
        let mut sampler = SeededSampler::new(0).child("bootstrap");
        let draw = || {
            bootstrap_difference(&of.counts, &evaluated[0].counts, AbsentClass::AsZero, config, &mut sampler).unwrap()
        };
        let image_bootstrap = (index > 0).then(draw);
        let repeats = of.repeats.clone();
        methods.push(Method { name: (*name).to_string(), repeats, image_bootstrap, ..Method::default() });
    }
    let colors = color_map();
    let indices = [0, 8, 10, 12, 13, 15, 17];
    let class = |(name, index): (&&str, usize)| ReportClass { name: (*name).to_string(), color: colors[index] };
    Report {
        title: "Seeds of SEAM with and without HSC".to_string(),
        protocol: protocol(),
        classes: CLASSES.iter().zip(indices).map(class).collect(),
        thresholds: ThresholdGrid::default().thresholds().unwrap(),
        galleries: galleries(&scenes, &evaluated, &indices.map(|index| colors[index])),
        methods,
        left_out: Vec::new(),
        config: "[network]\nbaseline = \"seam\"\n\n[train]\nepochs = 8\nbatch = 8\nlearning_rate = 0.01\n\n\
                 [[regularizer]]\ntype = \"hsc\"\n"
            .to_string(),
        environment: vec![
            ("version".to_string(), "0.1.0".to_string()),
            ("device".to_string(), "CPU, 2 threads".to_string()),
            ("data".to_string(), "sha256 6e1f0c6d2b51d0a3".to_string()),
        ],
        reproduce: vec![
            "wsss train --config seam.toml --seed 0".to_string(),
            "wsss train --config seam_hsc.toml --seed 0".to_string(),
            "wsss compare runs/seam runs/seam_hsc --split train".to_string(),
        ],
    }
}

pub(crate) fn protocol() -> Protocol {
    Protocol {
        dataset: "drawn scenes".to_string(),
        split: "train".to_string(),
        num_images: IMAGES,
        ground_truth: "SegmentationClass, void (255) ignored".to_string(),
        stage: "seeds".to_string(),
        threshold_rule: "largest mIoU on this split, 0.00 to 0.59 in steps of 0.01".to_string(),
        fixed_score: FIXED,
        absent_class: AbsentClass::AsZero,
        crf: "none".to_string(),
        scales: vec![0.5, 1.0, 1.5, 2.0],
        flip: true,
        ..Protocol::default()
    }
}

fn galleries(scenes: &[Scene], evaluated: &[Evaluated], palette: &[[u8; 3]]) -> Vec<Gallery> {
    let score = |method: usize, image: usize| evaluated[method].counts[0][image].mean_iou(AbsentClass::Skipped);
    let gain = |image: usize| score(1, image).zip(score(0, image)).map(|(ours, theirs)| ours - theirs);
    let gains: Vec<Option<f64>> = (0..scenes.len()).map(gain).collect();
    let (worst, best) = extremes(&gains, 4);
    let pen = Pen { palette, max_side: 224, format: PictureFormat::Png };
    let gallery = |title: &str, note: &str, chosen: &[usize]| {
        let row = |&index: &usize| {
            let scene = &scenes[index];
            let maps: Vec<SeedMaps> = [0.30, 0.42].map(|q| seed_maps(scene, index, q, 0)).into();
            let labels: Vec<Vec<u8>> =
                maps.iter().zip(evaluated).map(|(maps, of)| maps.labels(of.first_best as f32)).collect();
            let layers = [
                Layer::Image,
                Layer::Labels { labels: &scene.truth, mean_iou: None },
                Layer::Labels { labels: &labels[0], mean_iou: score(0, index) },
                Layer::Labels { labels: &labels[1], mean_iou: score(1, index) },
                Layer::Heat(maps[1].map(maps[1].classes()[0]).unwrap()),
            ];
            let classes: Vec<usize> = maps[0].classes().iter().map(|class| class + 1).collect();
            GalleryRow::draw(&format!("scene_{index:04}"), &classes, &scene.image, &layers, pen).unwrap()
        };
        Gallery {
            title: title.to_string(),
            note: note.to_string(),
            columns: ["image", "ground truth", METHODS[0], METHODS[1], "scores of SEAM + HSC"].map(String::from).into(),
            rows: chosen.iter().map(row).collect(),
        }
    };
    vec![
        gallery("Largest gains", "Images where SEAM + HSC gains most over SEAM, seed 0, at the best score.", &best),
        gallery("Largest losses", "Images where SEAM + HSC loses most, or gains least.", &worst),
    ]
}
