//! The host's part of the kernels: a block per plane of the map.

use candle_core::{Result, Shape};

use super::cpu::{Gradient, RegionMean};
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, array, suffix};

const THREADS: usize = 256;

pub(super) fn forward(of: &RegionMean, gpu: &dyn Gpu, map: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (dim, regions) = (map.dims[1], of.masks.dims()[0]);
    let means = gpu.alloc(map.dtype, regions * dim)?;
    launch(of, gpu, "region_mean", map.dims, map, &means)?;
    Ok((means, (regions, dim).into()))
}

pub(super) fn gradient(of: &Gradient, gpu: &dyn Gpu, grad: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let result = gpu.alloc(grad.dtype, of.shape.elem_count())?;
    launch(&of.of, gpu, "region_mean_gradient", of.shape.dims(), grad, &result)?;
    Ok((result, of.shape.clone()))
}

fn launch(
    of: &RegionMean,
    gpu: &dyn Gpu,
    name: &str,
    map: &[usize],
    input: DeviceArray<'_>,
    result: &Buffer,
) -> Result<()> {
    let (masks, divisors, starts) = (array(&of.masks)?, array(&of.divisors)?, array(&of.starts_there)?);
    gpu.launch(&Launch {
        module: "region_mean",
        name: format!("{name}_{}", suffix(input.dtype)?).into(),
        blocks: [map[0] * map[1], 1, 1],
        threads: THREADS,
        shared: 0,
        arguments: &[
            input.pointer(),
            masks.pointer(),
            divisors.pointer(),
            starts.pointer(),
            result.pointer(),
            Arg::size(map[1])?,
            Arg::size(map[2] * map[3])?,
        ],
    })
}
