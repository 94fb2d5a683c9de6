//! The host's part of the kernels: a thread for each element; for the parameters' gradients a block for each channel and
//! run of images, and a second launch that adds the runs.

use candle_core::{Result, Shape};

use super::cpu::Affine;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, blocks, map_blocks, suffix};
use crate::ops::kernel::Axis;

const THREADS: usize = 256;

/// Most runs that the images are divided into.
const RUNS: usize = 16;

/// `inputs` are input, scale and shift.
pub(super) fn forward(affine: Affine, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
    each_element(affine, gpu, "affine", inputs)
}

/// `inputs` are result, scale and gradient.
pub(super) fn input_gradient(affine: Affine, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
    each_element(affine, gpu, "affine_input", inputs)
}

fn each_element(affine: Affine, gpu: &dyn Gpu, name: &str, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
    let x = inputs[0];
    let Axis { outer: images, len: channels, inner: plane } = Axis::of(x.dims, 1);
    let (blocks, threads) = map_blocks(images * channels, plane);
    let result = gpu.alloc(x.dtype, x.len())?;
    let mut arguments = inputs.map(|input| input.pointer()).to_vec();
    arguments.extend([
        result.pointer(),
        Arg::size(images * channels)?,
        Arg::size(channels)?,
        Arg::size(plane)?,
        Arg::I32(i32::from(affine.relu)),
    ]);
    gpu.launch(&Launch {
        module: "affine",
        name: format!("{name}_{}", suffix(x.dtype)?).into(),
        blocks,
        threads,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, x.dims.into()))
}

/// `inputs` are input, result and gradient.
pub(super) fn parameter_gradient(
    affine: Affine,
    gpu: &dyn Gpu,
    inputs: [DeviceArray<'_>; 3],
) -> Result<(Buffer, Shape)> {
    let x = inputs[0];
    let Axis { outer: images, len: channels, inner: plane } = Axis::of(x.dims, 1);
    let suffix = suffix(x.dtype)?;
    let runs = images.clamp(1, RUNS);
    let parts = gpu.alloc(accumulator(x.dtype), runs * 2 * channels)?;
    let mut arguments = inputs.map(|input| input.pointer()).to_vec();
    arguments.extend([
        parts.pointer(),
        Arg::size(images)?,
        Arg::size(channels)?,
        Arg::size(plane)?,
        Arg::I32(i32::from(affine.relu)),
    ]);
    gpu.launch(&Launch {
        module: "affine",
        name: format!("affine_parameters_{suffix}").into(),
        blocks: [channels, runs, 1],
        threads: THREADS,
        shared: 0,
        arguments: &arguments,
    })?;
    let result = gpu.alloc(x.dtype, 2 * channels)?;
    gpu.launch(&Launch {
        module: "affine",
        name: format!("affine_sum_{suffix}").into(),
        blocks: blocks(2 * channels, THREADS),
        threads: THREADS,
        shared: 0,
        arguments: &[parts.pointer(), result.pointer(), Arg::size(runs)?, Arg::size(2 * channels)?],
    })?;
    Ok((result, (2, channels).into()))
}
