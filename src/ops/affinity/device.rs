//! The host's part of the kernels.

use std::borrow::Cow;

use candle_core::{DType, Result, Shape, Tensor};

use crate::ops::device::{self, Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, blocks, suffix};

// Sizes in `kernel.cu`.
const THREADS: usize = 256;
const COLUMNS: usize = 64;
const SIDE: usize = 16;
const DEPTH: usize = 16;
const PITCH: usize = COLUMNS + 4;

/// A quarter of the maps of a block, and a sixteenth of its channels: the numbers there are kernels for.
const QUARTERS: [usize; 2] = [8, 24];
const CHANNELS: [usize; 2] = [4, 12];

/// The number there is a kernel for that needs the fewest blocks, the smaller of two.
fn fitting(choices: [usize; 2], unit: usize, count: usize) -> usize {
    let [few, many] = choices;
    if count <= unit * few { few } else { many }
}

/// Pixels that give at a time.
fn rows(sums: DType) -> usize {
    if sums == DType::F64 { 64 } else { 128 }
}

/// Sums over the pixels of the first `count` maps: divided, with the roots of the divisors in one row more, or, of maps in
/// the type of sums, as they are.
pub(super) fn sums(
    gpu: &dyn Gpu,
    [maps, unit]: [DeviceArray<'_>; 2],
    count: usize,
    epsilon: Option<f64>,
) -> Result<(Buffer, Shape)> {
    let (&[images, held, pixels], &[_, dim, _]) = (maps.dims, unit.dims) else {
        candle_core::bail!("affinity_mean: expected 3 axes")
    };
    let divide = usize::from(epsilon.is_some());
    let shape = Shape::from((images, count + divide, pixels));
    let result = gpu.alloc(unit.dtype, shape.elem_count())?;
    let quarter = fitting(QUARTERS, 4, count);
    let sums = accumulator(unit.dtype);
    let tile = rows(sums) * PITCH + DEPTH * (rows(sums) + COLUMNS) + rows(sums) * 4 * quarter;
    gpu.launch(&Launch {
        module: "affinity",
        // Cotangents are of the type of sums.
        name: name(if divide == 1 { "affinity_sums" } else { "affinity_slopes" }, quarter, unit.dtype)?,
        blocks: [pixels.div_ceil(COLUMNS), count.div_ceil(4 * quarter).max(divide), images],
        threads: THREADS,
        shared: tile * sums.size_in_bytes(),
        arguments: &[
            maps.pointer(),
            unit.pointer(),
            result.pointer(),
            Arg::size(held)?,
            Arg::size(count)?,
            Arg::size(dim)?,
            Arg::size(pixels)?,
            Arg::F64(epsilon.unwrap_or_default()),
            Arg::I32(divide as i32),
        ],
    })?;
    Ok((result, shape))
}

fn name(kernel: &str, variant: usize, dtype: DType) -> Result<Cow<'static, str>> {
    Ok(format!("{kernel}_{variant}_{}", suffix(dtype)?).into())
}

/// The gradient of the sums, in the type of sums: quotients by divisors would be lost in a smaller one.
fn cotangent(gpu: &dyn Gpu, result: &Tensor, grad: DeviceArray<'_>) -> Result<Buffer> {
    let result = device::array(result)?;
    let &[images, rows, pixels] = grad.dims else { candle_core::bail!("affinity_mean: expected 3 axes") };
    let cotangent = gpu.alloc(accumulator(grad.dtype), grad.len())?;
    gpu.launch(&Launch {
        module: "affinity",
        name: format!("affinity_cotangent_{}", suffix(grad.dtype)?).into(),
        blocks: blocks(images * pixels, THREADS),
        threads: THREADS,
        shared: 0,
        arguments: &[
            result.pointer(),
            grad.pointer(),
            cotangent.pointer(),
            Arg::size(images)?,
            Arg::size(rows - 1)?,
            Arg::size(pixels)?,
        ],
    })?;
    Ok(cotangent)
}

/// The gradient of the features; `result` is that of the averages.
pub(super) fn of_features(
    gpu: &dyn Gpu,
    result: &Tensor,
    [unit, maps, grad]: [DeviceArray<'_>; 3],
) -> Result<(Buffer, Shape)> {
    let (&[images, dim, pixels], &[_, classes, _]) = (unit.dims, maps.dims) else {
        candle_core::bail!("affinity_mean: expected 3 axes")
    };
    let cotangent = cotangent(gpu, result, grad)?;
    let gradient = gpu.alloc(unit.dtype, unit.len())?;
    let own = fitting(CHANNELS, SIDE, dim);
    let sums = accumulator(unit.dtype);
    let stage = DEPTH * (rows(sums) + COLUMNS).max(SIDE * own + 4);
    gpu.launch(&Launch {
        module: "affinity",
        name: name("affinity_features", own, unit.dtype)?,
        blocks: [pixels.div_ceil(COLUMNS), dim.div_ceil(SIDE * own), images],
        threads: THREADS,
        shared: (rows(sums) * PITCH + stage) * sums.size_in_bytes(),
        arguments: &[
            unit.pointer(),
            maps.pointer(),
            cotangent.pointer(),
            gradient.pointer(),
            Arg::size(classes)?,
            Arg::size(dim)?,
            Arg::size(pixels)?,
        ],
    })?;
    Ok((gradient, unit.dims.into()))
}

/// The gradient of the maps; `result` is that of the averages.
pub(super) fn of_maps(gpu: &dyn Gpu, result: &Tensor, [grad, unit]: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
    let cotangent = cotangent(gpu, result, grad)?;
    sums(gpu, [cotangent.array(grad.dims), unit], grad.dims[1] - 1, None)
}
