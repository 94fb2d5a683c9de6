//! From a JPEG file to a training crop, on one thread: `cargo bench --bench data`.
//!
//! ```text
//! cargo bench --bench data -- --images FOLDER   # JPEG files of your own, otherwise 500 x 375 of the embedded data set
//! cargo bench --bench data -- --make FOLDER     # writes those files
//! cargo bench --bench data -- --json            # one object a line, for benches/peer/run.py
//! ```
//!
//! `benches/peer/data.py` does the same with Pillow and torchvision, `benches/peer/run.py data` both in turns. Longer
//! sides are the same there, the other draws of the same distribution.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use candle_wsss::{Normalization, SeededSampler};
use candle_wsss_baselines::data::{Augmentation, Filter, LoaderConfig, ResizeTo, read_rgb_image, resize, write_atomic};
use candle_wsss_baselines::synth::{SynthConfig, generate};
use candle_wsss_baselines::{Error, Result};
use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;

/// As the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const IMAGES: usize = 48;
/// The commonest size in PASCAL VOC.
const SIZE: (usize, usize) = (500, 375);
const QUALITY: u8 = 90;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| arguments.iter().position(|arg| arg == name).and_then(|at| arguments.get(at + 1));
    if let Some(folder) = value("--make") {
        return make(Path::new(folder));
    }
    let made = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    let folder = if let Some(folder) = value("--images") {
        PathBuf::from(folder)
    } else {
        make(made.path())?;
        made.path().to_path_buf()
    };
    let stages = measure(&jpegs(&folder)?)?;
    for (what, time) in stages {
        let milliseconds = 1e3 * time.as_secs_f64();
        if arguments.iter().any(|arg| arg == "--json") {
            println!("{{\"what\": \"{what}\", \"ms_cpu\": {milliseconds:.4}}}");
        } else {
            println!("{what:<28} {milliseconds:>8.2} ms of CPU an image");
        }
    }
    Ok(())
}

/// Stand-ins for photographs: images of the embedded data set, enlarged.
fn make(folder: &Path) -> Result<()> {
    let scratch = tempfile::tempdir().map_err(Error::io("temporary folder"))?;
    let root = scratch.path().join("data");
    let config = SynthConfig { train: IMAGES, val: 0, size: [200, 300], ..SynthConfig::default() };
    generate(&config, &root, &mut |_, _| {})?;
    for (index, path) in jpegs(&root.join("JPEGImages"))?.iter().enumerate() {
        let image = resize(&read_rgb_image(path)?, SIZE.0, SIZE.1, Filter::Bicubic);
        let mut jpeg = Vec::new();
        let encoded = image.write_with_encoder(JpegEncoder::new_with_quality(&mut jpeg, QUALITY));
        encoded.map_err(|err| Error::data(path, err.to_string()))?;
        write_atomic(folder.join(format!("{index:03}.jpg")), |file| file.write_all(&jpeg))?;
    }
    Ok(())
}

fn jpegs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "jpg"));
    paths.sort();
    paths.truncate(IMAGES);
    if paths.is_empty() {
        return Err(Error::data(folder, "expected JPEG files, there is none"));
    }
    Ok(paths)
}

/// CPU time of each stage, by image.
fn measure(paths: &[PathBuf]) -> Result<Vec<(&'static str, Duration)>> {
    let config = LoaderConfig::default();
    let mut images = Vec::new();
    // Once unmeasured, for files in memory and pages in the allocator.
    for path in paths {
        images.push(read_rgb_image(path)?);
    }
    let decode =
        timed(paths.len(), || paths.iter().try_for_each(|path| read_rgb_image(path).map(|x| drop(black_box(x)))));
    let plain = LoaderConfig { jitter: None, ..config.clone() };
    let (without, with) = (augment(&images, &plain), augment(&images, &config));
    let (decode, without, with) = (decode?, without?, with?);
    Ok(vec![
        ("decode", decode),
        ("augment without colours", without),
        ("colours", with.saturating_sub(without)),
        ("all", decode + with),
    ])
}

fn augment(images: &[RgbImage], config: &LoaderConfig) -> Result<Duration> {
    let [low, high] = config.long_side;
    timed(images.len(), || {
        for (index, image) in images.iter().enumerate() {
            let mut augmentation = Augmentation::draw(config, &SeededSampler::new(index as u64))?;
            augmentation.resize = ResizeTo::LongSide(low + index * 37 % (high - low + 1));
            black_box(augmentation.apply(image, None, Normalization::IMAGENET));
        }
        Ok(())
    })
}

fn timed(count: usize, work: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let (cpu, wall) = (thread_cpu(), Instant::now());
    work()?;
    let spent = match (cpu, thread_cpu()) {
        (Some(before), Some(after)) => after.saturating_sub(before),
        _ => wall.elapsed(),
    };
    Ok(spent / count as u32)
}

/// CPU time of this thread; `None` where the system does not tell.
#[cfg(unix)]
fn thread_cpu() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(unix))]
fn thread_cpu() -> Option<Duration> {
    None
}
