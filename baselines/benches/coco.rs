//! Opening COCO's annotations and drawing its masks: `cargo bench --bench coco -- FOLDER MASKS`.
//!
//! `benches/peer/coco_masks.py` writes the folder, runs this, and the COCO API beside it. Without arguments there is
//! nothing to measure.

#![allow(clippy::print_stdout, reason = "a bench prints what it measured")]

use std::time::Instant;

use candle_wsss_baselines::data::{Coco, CocoConfig, DataSource};
use candle_wsss_baselines::{Error, Result};

/// As the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let [folder, masks] = arguments.as_slice() else {
        println!("expected a folder and a number of masks; run benches/peer/coco_masks.py");
        return Ok(());
    };
    let masks: usize = masks.parse().map_err(|err| Error::Config(format!("number of masks: {err}")))?;
    let source = DataSource::new(folder, "train2014");
    let (labels, labels_seconds) = timed(|| Coco::open_labels(&source, &CocoConfig::default()))?;
    let label_count = labels.images.len();
    drop(labels);
    let labels_memory = memory_mib();
    let (coco, open_seconds) = timed(|| Coco::open(&source))?;
    let mut crc = !0;
    let mut spent = 0.0;
    for index in 0..masks {
        let (mask, seconds) = timed(|| coco.mask(index))?;
        spent += seconds;
        crc = crc32(crc, &mask.data);
    }
    let mask_milliseconds = 1000.0 * spent / masks as f64;
    println!(
        "{{\"images\": {label_count}, \"labels_seconds\": {labels_seconds}, \"labels_memory_mib\": {labels_memory}, \
         \"open_seconds\": {open_seconds}, \"mask_milliseconds\": {mask_milliseconds}, \"memory_mib\": {}, \
         \"crc32\": {}}}",
        memory_mib(),
        !crc
    );
    Ok(())
}

/// The result, and seconds of processor time of this thread; of the clock where the system does not say.
fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
    let (clock, before) = (Instant::now(), processor_seconds());
    let result = work()?;
    let seconds = match (before, processor_seconds()) {
        (Some(before), Some(after)) => after - before,
        _ => clock.elapsed().as_secs_f64(),
    };
    Ok((result, seconds))
}

fn processor_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(nanoseconds as f64 * 1e-9)
}

/// The most memory this process had so far; 0 where the system does not say.
fn memory_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) / 1024
}

/// Python's `zlib.crc32`, to compare masks with.
fn crc32(mut crc: u32, bytes: &[u8]) -> u32 {
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
        }
    }
    crc
}
