//! The host's part of the kernels: a block for each plane, a thread for each pixel.

use candle_core::{DType, Result, Shape, bail};

use super::{BestClass, SeedScores};
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, array, blocks, suffix};
use crate::ops::resize::step;

/// Threads of a block; grids have some hundred pixels.
const THREADS: usize = 256;

pub(super) fn scores(seeds: &SeedScores, gpu: &dyn Gpu, cam: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let &[n, classes, h, w] = cam.dims else { bail!("seed_scores: expected 4 axes") };
    let (height, width) = seeds.size;
    let result = gpu.alloc(cam.dtype, n * classes * height * width)?;
    Arg::size(height * width)?;
    let mut arguments = vec![cam.pointer(), result.pointer(), Arg::U64((n * classes) as u64)];
    for size in [classes, h, w, height, width] {
        arguments.push(Arg::size(size)?);
    }
    arguments.extend([step(h, height), step(w, width), seeds.background, seeds.epsilon].map(Arg::F64));
    gpu.launch(&Launch {
        module: "seeds",
        name: format!("seed_scores_{}", suffix(cam.dtype)?).into(),
        blocks: [(n * classes).min(1 << 20), 1, 1],
        threads: THREADS,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, (n, classes, height, width).into()))
}

pub(super) fn best(kernel: &BestClass, gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let &[n, classes, h, w] = scores.dims else { bail!("best_class: expected 4 axes") };
    let result = gpu.alloc(DType::U32, n * h * w)?;
    let mask = array(&kernel.mask)?;
    gpu.launch(&Launch {
        module: "seeds",
        name: format!("best_class_{}", suffix(scores.dtype)?).into(),
        blocks: blocks(n * h * w, THREADS),
        threads: THREADS,
        shared: 0,
        arguments: &[
            scores.pointer(),
            mask.pointer(),
            result.pointer(),
            Arg::U64(n as u64),
            Arg::size(classes)?,
            Arg::size(h * w)?,
        ],
    })?;
    Ok((result, (n, h, w).into()))
}
