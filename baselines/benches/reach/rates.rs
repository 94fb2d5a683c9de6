//! What the machine can do: the measure of every floor.

use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;
use serde_json::{Value, json};

/// Far more than any cache holds.
const COPIED: usize = 64 << 20;
/// Side of the matrices, on the processor and on a device.
const SIDES: [usize; 2] = [1024, 8192];
/// What a thread copies at a time.
const PIECE: usize = 1 << 20;
const ROUNDS: usize = 7;

/// Bytes a second, read and written, of a copy; float32 operations a second of a matrix product. The best of some rounds.
pub(crate) fn measure(device: &Device) -> Result<Value> {
    let source = Tensor::ones(COPIED, DType::F32, device)?;
    let copied = (2 * COPIED * DType::F32.size_in_bytes()) as f64;
    let copy = if device.is_cpu() {
        let source = source.to_vec1::<f32>()?;
        let mut target = source.clone();
        best(device, || {
            let pieces = target.par_chunks_mut(PIECE).zip(black_box(&source).par_chunks(PIECE));
            pieces.for_each(|(target, source)| target.copy_from_slice(source));
            black_box(&mut target);
            Ok(())
        })?
    } else {
        best(device, || source.copy().map(|copy| drop(black_box(copy))))?
    };
    let side = SIDES[usize::from(!device.is_cpu())];
    let matrix = Tensor::ones((side, side), DType::F32, device)?;
    let product = best(device, || matrix.matmul(&matrix).map(|product| drop(black_box(product))))?;
    let operations = 2.0 * (side as f64).powi(3);
    Ok(json!({ "copy_bytes_per_s": copied / copy, "gemm_flops_per_s": operations / product }))
}

// Seconds of the fastest round.
fn best(device: &Device, mut work: impl FnMut() -> candle_core::Result<()>) -> Result<f64> {
    let mut least = f64::INFINITY;
    for _ in 0..ROUNDS {
        device.synchronize()?;
        let clock = Instant::now();
        work()?;
        device.synchronize()?;
        least = least.min(clock.elapsed().as_secs_f64());
    }
    Ok(least)
}
