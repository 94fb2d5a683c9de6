//! The host's part of the kernels.

use candle_core::{DType, Result, Shape, bail};

use super::MinPool;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, array, suffix};
use crate::ops::resize::step;

/// Threads of a block that has pixels of its own.
const THREADS: usize = 256;
/// Most threads of a block that works through a plane.
const MOST_THREADS: usize = 1024;

pub(super) fn packed(pool: &MinPool, gpu: &dyn Gpu, map: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let &[images, classes, h, w] = map.dims else { bail!("min_pool: expected 4 axes") };
    let (height, width) = pool.size;
    let pixels = height * width;
    let launch = |name: &str, blocks, threads, arguments: &[Arg]| {
        let name = format!("{name}_{}", suffix(map.dtype)?).into();
        gpu.launch(&Launch { module: "min_pool", name, blocks, threads, shared: 0, arguments })
    };
    let mask = array(&pool.mask)?;
    let strongest = (gpu.alloc(map.dtype, images * pixels)?, gpu.alloc(DType::U32, images * pixels)?);
    let mut sizes = Vec::new();
    for size in [h, w, height, width] {
        sizes.push(Arg::size(size)?);
    }
    let pixel_count = Arg::size(pixels)?;
    sizes.extend([step(h, height), step(w, width)].map(Arg::F64));
    let mut arguments =
        vec![map.pointer(), mask.pointer(), strongest.0.pointer(), strongest.1.pointer(), Arg::size(classes)?];
    arguments.extend_from_slice(&sizes);
    launch("min_pool_strongest", [pixels.div_ceil(THREADS), images, 1], THREADS, &arguments)?;

    let cuts = (gpu.alloc(map.dtype, images)?, gpu.alloc(DType::U32, images)?, gpu.alloc(map.dtype, images)?);
    launch(
        "min_pool_smallest",
        [images, 1, 1],
        threads(pixels),
        &[
            strongest.0.pointer(),
            cuts.0.pointer(),
            cuts.1.pointer(),
            cuts.2.pointer(),
            pixel_count,
            Arg::size(pool.smallest)?,
        ],
    )?;

    let len = MinPool::TERMS + if pool.with_gradient { map.len() } else { 0 };
    let result = gpu.alloc(map.dtype, len)?;
    let scale = Arg::F64(1.0 / (pool.smallest * images) as f64);
    let sums = [cuts.2.pointer(), Arg::size(images)?, result.pointer(), scale];
    launch("min_pool_sum", [1, 1, 1], THREADS, &sums)?;
    if pool.with_gradient {
        let mut arguments = vec![
            strongest.0.pointer(),
            strongest.1.pointer(),
            mask.pointer(),
            cuts.0.pointer(),
            cuts.1.pointer(),
            result.pointer_at(MinPool::TERMS),
        ];
        arguments.extend(sizes);
        arguments.push(scale);
        launch("min_pool_gradient", [(h * w).div_ceil(THREADS), classes, images], THREADS, &arguments)?;
    }
    Ok((result, len.into()))
}

/// For a block that works through so many items.
fn threads(items: usize) -> usize {
    (items.div_ceil(32) * 32).clamp(32, MOST_THREADS)
}
