//! The host's part of the kernels.

use candle_core::{DType, Result, Shape};

use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, accumulator, blocks, suffix};

const THREADS: usize = 256;

pub(super) fn forward(gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let (images, channels, pixels) = (scores.dims[0], scores.dims[1], scores.dims[2] * scores.dims[3]);
    let masks = gpu.alloc(DType::U32, scores.len())?;
    let lines = gpu.alloc(accumulator(scores.dtype), 2 * images * pixels)?;
    let sizes = [Arg::size(images)?, Arg::size(channels)?, Arg::size(pixels)?];
    let launch = |name: String, blocks: [usize; 3], arguments: &[Arg]| {
        gpu.launch(&Launch {
            module: "region_mask",
            name: name.into(),
            blocks,
            threads: THREADS,
            shared: 0,
            arguments: &[arguments, &sizes].concat(),
        })
    };
    if scores.len() > 0 {
        let of = suffix(scores.dtype)?;
        let over_pixels = blocks(images * pixels, THREADS);
        launch(format!("region_lines_{of}"), over_pixels, &[scores.pointer(), lines.pointer()])?;
        let arguments = [scores.pointer(), lines.pointer(), masks.pointer()];
        launch(format!("region_masks_{of}"), [images * channels, 1, 1], &arguments)?;
    }
    Ok((masks, scores.dims.into()))
}
