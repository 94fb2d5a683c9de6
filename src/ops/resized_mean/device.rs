//! The host's part of the kernels: a block for each plane.

use candle_core::{Result, Shape, bail};

use super::cpu::{Gradient, ResizedMean};
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, suffix};
use crate::ops::resize::step;

/// Threads of a block; maps have some hundred to some thousand pixels.
const THREADS: usize = 256;

pub(super) fn forward(mean: &ResizedMean, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let &[n, c, h, w] = x.dims else { bail!("resized_mean: expected 4 axes") };
    let result = gpu.alloc(x.dtype, n * c)?;
    launch("resized_mean", gpu, x, &result, n * c, (h, w), mean.size)?;
    Ok((result, (n, c).into()))
}

pub(super) fn gradient(mean: &Gradient, gpu: &dyn Gpu, grad: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let &[n, c] = grad.dims else { bail!("resized_mean gradient: expected 2 axes") };
    let (h, w) = mean.source;
    let result = gpu.alloc(grad.dtype, n * c * h * w)?;
    launch("resized_mean_gradient", gpu, grad, &result, n * c, (h, w), mean.size)?;
    Ok((result, (n, c, h, w).into()))
}

fn launch(
    name: &str,
    gpu: &dyn Gpu,
    input: DeviceArray<'_>,
    result: &Buffer,
    planes: usize,
    (h, w): (usize, usize),
    (height, width): (usize, usize),
) -> Result<()> {
    let mut arguments = vec![input.pointer(), result.pointer(), Arg::U64(planes as u64)];
    for size in [h, w, height, width] {
        arguments.push(Arg::size(size)?);
    }
    arguments.extend([step(h, height), step(w, width)].map(Arg::F64));
    gpu.launch(&Launch {
        module: "resized_mean",
        name: format!("{name}_{}", suffix(input.dtype)?).into(),
        blocks: [planes.min(1 << 20), 1, 1],
        threads: THREADS,
        shared: (h + w) * accumulator(input.dtype).size_in_bytes(),
        arguments: &arguments,
    })
}
