//! The host's part of the kernels: a thread for each result.

use candle_core::{Result, Shape};

use super::cpu::Geometry;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, map_blocks, suffix};

pub(super) fn forward(geometry: &Geometry, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    launch(geometry, gpu, "max_pool", &[x], &geometry.out_dims())
}

/// `inputs` are input and gradient.
pub(super) fn gradient(geometry: &Geometry, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
    launch(geometry, gpu, "max_pool_gradient", &inputs, inputs[0].dims)
}

fn launch(
    geometry: &Geometry,
    gpu: &dyn Gpu,
    name: &str,
    inputs: &[DeviceArray<'_>],
    dims: &[usize],
) -> Result<(Buffer, Shape)> {
    let (dtype, maps, pixels) = (inputs[0].dtype, dims[..2].iter().product(), dims[2..].iter().product());
    let (blocks, threads) = map_blocks(maps, pixels);
    let result = gpu.alloc(dtype, maps * pixels)?;
    let mut arguments: Vec<Arg> = inputs.iter().map(DeviceArray::pointer).collect();
    arguments.extend([result.pointer(), Arg::size(maps)?]);
    for size in geometry.sizes() {
        arguments.push(Arg::size(size)?);
    }
    gpu.launch(&Launch {
        module: "max_pool2d",
        name: format!("{name}_{}", suffix(dtype)?).into(),
        blocks,
        threads,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, dims.into()))
}
