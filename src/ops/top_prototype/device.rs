//! The host's part of the kernels.

use candle_core::{DType, Result, Shape, bail};

use super::cpu::{Gradient, PixelSums, PixelValues, TopPixelIndices};
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, array, blocks, suffix};

const THREADS: usize = 128;
/// Threads of a block that has a channel to itself.
const SELECTING: usize = 512;
/// Shared memory of a block of the gradient's: as much as one gets without asking for more.
const SHARED: usize = 48 << 10;

fn launch(
    gpu: &dyn Gpu,
    (name, dtype): (&str, DType),
    blocks: [usize; 3],
    (threads, shared): (usize, usize),
    arguments: &[Arg],
) -> Result<()> {
    let name = format!("{name}_{}", suffix(dtype)?).into();
    gpu.launch(&Launch { module: "top_prototype", name, blocks, threads, shared, arguments })
}

pub(super) fn indices(of: &TopPixelIndices, gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (count, k, padded) = (of.channels.elem_count(), of.k, of.k.next_power_of_two());
    let result = gpu.alloc(DType::U32, count * k)?;
    // Keys are integers of the width of the sums.
    let (keys, chosen) =
        (gpu.alloc(accumulator(scores.dtype), count * padded)?, gpu.alloc(DType::U32, count * padded)?);
    let channels = array(&of.channels)?;
    let arguments = [
        scores.pointer(),
        channels.pointer(),
        keys.pointer(),
        chosen.pointer(),
        result.pointer(),
        Arg::size(scores.dims[0])?,
        Arg::size(scores.dims[1])?,
        Arg::size(scores.dims[2] * scores.dims[3])?,
        Arg::size(k)?,
        Arg::size(padded)?,
    ];
    launch(gpu, ("top_pixels", scores.dtype), [count, 1, 1], (SELECTING, 0), &arguments)?;
    Ok((result, (count, k).into()))
}

pub(super) fn values(of: &PixelValues, gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (count, k) = of.indices.dims2()?;
    let result = gpu.alloc(scores.dtype, count * k)?;
    let (channels, indices) = (array(&of.channels)?, array(&of.indices)?);
    let arguments = [
        scores.pointer(),
        channels.pointer(),
        indices.pointer(),
        result.pointer(),
        Arg::size(scores.dims[1])?,
        Arg::size(scores.dims[2] * scores.dims[3])?,
        Arg::size(k)?,
        Arg::U64((count * k) as u64),
    ];
    launch(gpu, ("pixel_values", scores.dtype), blocks(count * k, THREADS), (THREADS, 0), &arguments)?;
    Ok((result, (count, k).into()))
}

pub(super) fn sums(of: &PixelSums, gpu: &dyn Gpu, features: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let ((classes, k), dim) = (of.indices.dims2()?, features.dims[1]);
    let result = gpu.alloc(features.dtype, classes * dim)?;
    let (indices, weights) = (array(&of.indices)?, array(&of.weights)?);
    let arguments = [
        features.pointer(),
        indices.pointer(),
        weights.pointer(),
        result.pointer(),
        Arg::size(dim)?,
        Arg::size(features.dims[2] * features.dims[3])?,
        Arg::size(k)?,
    ];
    launch(gpu, ("pixel_sums", features.dtype), [classes * dim, 1, 1], (THREADS, 0), &arguments)?;
    Ok((result, (classes, dim).into()))
}

pub(super) fn gradient(of: &Gradient, gpu: &dyn Gpu, grad: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (dims, (classes, k)) = (of.shape.dims(), of.of.indices.dims2()?);
    let (dim, pixels) = (dims[1], dims[2] * dims[3]);
    let result = gpu.alloc(grad.dtype, of.shape.elem_count())?;
    let (indices, weights) = (array(&of.of.indices)?, array(&of.of.weights)?);
    // As many pixels for a block as there is room for a weight of each class.
    let of_pixel = classes * accumulator(grad.dtype).size_in_bytes();
    let tile = (SHARED / of_pixel).min(THREADS) / 32 * 32;
    if tile == 0 {
        bail!("pixel_sums: the gradient of {classes} classes has no room in the memory of a block");
    }
    let arguments = [
        grad.pointer(),
        indices.pointer(),
        weights.pointer(),
        result.pointer(),
        Arg::size(dim)?,
        Arg::size(pixels)?,
        Arg::size(classes)?,
        Arg::size(k)?,
    ];
    let grid = [dims[0] * pixels.div_ceil(tile), 1, 1];
    launch(gpu, ("pixel_sums_gradient", grad.dtype), grid, (tile, tile * of_pixel), &arguments)?;
    Ok((result, of.shape.clone()))
}
