//! The host's part of the kernels: a thread for each element.

use candle_core::{Result, Shape};

use super::cpu::Pointwise;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, blocks, suffix};

const THREADS: usize = 256;

pub(super) fn forward(function: Pointwise, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    launch(function, gpu, "pointwise", &[x])
}

pub(super) fn gradient(function: Pointwise, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
    launch(function, gpu, "pointwise_gradient", &inputs)
}

fn launch(function: Pointwise, gpu: &dyn Gpu, name: &str, inputs: &[DeviceArray<'_>]) -> Result<(Buffer, Shape)> {
    let x = inputs[0];
    // The numbers are those of the enumeration in the kernels.
    let (number, low, high) = match function {
        Pointwise::Relu => (0, 0.0, 0.0),
        Pointwise::Abs => (1, 0.0, 0.0),
        Pointwise::Clamp { low, high } => (2, low, high),
        Pointwise::Softplus => (3, 0.0, 0.0),
    };
    let result = gpu.alloc(x.dtype, x.len())?;
    let mut arguments: Vec<Arg> = inputs.iter().map(DeviceArray::pointer).collect();
    arguments.extend([result.pointer(), Arg::U64(x.len() as u64), Arg::I32(number), Arg::F64(low), Arg::F64(high)]);
    gpu.launch(&Launch {
        module: "pointwise",
        name: format!("{name}_{}", suffix(x.dtype)?).into(),
        blocks: blocks(x.len(), THREADS),
        threads: THREADS,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, x.dims.into()))
}
