//! The host's part of the kernels: a thread for each result. Bilinear taps are computed once, by two small launches.

use candle_core::{DType, Result, Shape, bail};

use super::Corners;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, blocks, map_blocks, suffix};

const THREADS: usize = 256;

/// Sizes of a map and of the map it becomes.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) from: (usize, usize),
    pub(super) to: (usize, usize),
}

/// From the maps of `sizes.from` to those of `sizes.to`, or with `gradient` back.
pub(super) fn bilinear(
    sizes: Sizes,
    corners: Corners,
    gradient: bool,
    gpu: &dyn Gpu,
    x: DeviceArray<'_>,
) -> Result<(Buffer, Shape)> {
    let rows = Taps::new(sizes.from.0, sizes.to.0, corners, gpu, x.dtype)?;
    let columns = Taps::new(sizes.from.1, sizes.to.1, corners, gpu, x.dtype)?;
    let mut arguments = rows.arguments.to_vec();
    arguments.extend(columns.arguments);
    let name = if gradient { "resize_bilinear_gradient" } else { "resize_bilinear" };
    launch(name, if gradient { sizes.from } else { sizes.to }, gpu, x, &arguments)
}

/// The same for the nearest pixel.
pub(super) fn nearest(sizes: Sizes, gradient: bool, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let Sizes { from, to } = sizes;
    let arguments = [Arg::size(from.0)?, Arg::size(from.1)?, Arg::size(to.0)?, Arg::size(to.1)?];
    let name = if gradient { "resize_nearest_gradient" } else { "resize_nearest" };
    launch(name, if gradient { from } else { to }, gpu, x, &arguments)
}

fn launch(
    name: &str,
    (height, width): (usize, usize),
    gpu: &dyn Gpu,
    x: DeviceArray<'_>,
    more: &[Arg],
) -> Result<(Buffer, Shape)> {
    let &[images, channels, _, _] = x.dims else { bail!("{name}: expected 4 axes") };
    let shape = Shape::from((images, channels, height, width));
    let result = gpu.alloc(x.dtype, shape.elem_count())?;
    let (maps, (blocks, threads)) = (images * channels, map_blocks(images * channels, height * width));
    let mut arguments = vec![x.pointer(), result.pointer(), Arg::size(maps)?];
    arguments.extend(more);
    gpu.launch(&Launch {
        module: "resize",
        name: format!("{name}_{}", suffix(x.dtype)?).into(),
        blocks,
        threads,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok((result, shape))
}

/// Taps of one axis on the device.
struct Taps {
    arguments: [Arg; 4],
    _memory: [Buffer; 2],
}

impl Taps {
    fn new(input: usize, output: usize, corners: Corners, gpu: &dyn Gpu, dtype: DType) -> Result<Self> {
        // Signed on the device; there is no such type of tensor, and the values fit both.
        let low = gpu.alloc(DType::U32, output)?;
        let high_weight = gpu.alloc(accumulator(dtype), output)?;
        let (input, out) = (Arg::size(input)?, Arg::size(output)?);
        gpu.launch(&Launch {
            module: "resize",
            name: format!("resize_taps_{}", suffix(dtype)?).into(),
            blocks: blocks(output, THREADS),
            threads: THREADS,
            shared: 0,
            arguments: &[
                low.pointer(),
                high_weight.pointer(),
                input,
                out,
                Arg::I32(i32::from(corners == Corners::Aligned)),
            ],
        })?;
        let arguments = [low.pointer(), high_weight.pointer(), input, out];
        Ok(Self { arguments, _memory: [low, high_weight] })
    }
}
