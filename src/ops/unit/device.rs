//! The host's part of the kernels: a block for each vector.

use candle_core::{Result, Shape};

use super::cpu::{Denominator, Unit};
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, suffix};
use crate::ops::kernel::Axis;

/// Threads of a block; vectors are channels or image rows, some hundred elements.
const THREADS: usize = 128;

pub(super) fn forward(unit: &Unit, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    launch(unit, gpu, "unit", &[x])
}

pub(super) fn gradient(unit: &Unit, gpu: &dyn Gpu, [x, grad]: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
    launch(unit, gpu, "unit_gradient", &[x, grad])
}

fn launch(unit: &Unit, gpu: &dyn Gpu, name: &str, inputs: &[DeviceArray<'_>]) -> Result<(Buffer, Shape)> {
    let x = inputs[0];
    let axis = Axis::of(x.dims, unit.dim);
    let vectors = axis.outer * axis.inner;
    let result = gpu.alloc(x.dtype, x.len())?;
    let mut arguments: Vec<Arg> = inputs.iter().map(DeviceArray::pointer).collect();
    arguments.extend([
        result.pointer(),
        Arg::U64(vectors as u64),
        Arg::size(axis.len)?,
        Arg::size(axis.inner)?,
        Arg::F64(unit.eps),
        Arg::I32(i32::from(unit.denominator == Denominator::Added)),
    ]);
    gpu.launch(&Launch {
        module: "unit",
        name: format!("{name}_{}", suffix(x.dtype)?).into(),
        blocks: [vectors.min(1 << 20), 1, 1],
        threads: THREADS,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, x.dims.into()))
}
