//! The host's part of the kernels: a block for each plane.

use candle_core::{Result, Shape};

use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, suffix};

/// Threads of a block; planes have some hundred to some hundred thousand pixels.
const THREADS: usize = 256;

/// Starts the kernel of that name; `inputs` are of one shape, which the result has too.
pub(super) fn launch(name: &str, epsilon: f64, gpu: &dyn Gpu, inputs: &[DeviceArray<'_>]) -> Result<(Buffer, Shape)> {
    let x = inputs[0];
    let planes: usize = x.dims.iter().take(2).product();
    let result = gpu.alloc(x.dtype, x.len())?;
    let mut arguments: Vec<Arg> = inputs.iter().map(DeviceArray::pointer).collect();
    let pixels = x.dims.iter().skip(2).product();
    arguments.extend([result.pointer(), Arg::U64(planes as u64), Arg::size(pixels)?, Arg::F64(epsilon)]);
    gpu.launch(&Launch {
        module: "normalize",
        name: format!("{name}_{}", suffix(x.dtype)?).into(),
        blocks: [planes.min(1 << 20), 1, 1],
        threads: THREADS,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, x.dims.into()))
}
