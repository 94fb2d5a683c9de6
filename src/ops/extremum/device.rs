//! The host's part of the kernels: a block for each vector along the last axis, a thread for each along another one.

use candle_core::{DType, Result, Shape, bail};

use super::cpu::FirstExtremum;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, blocks, suffix};
use crate::ops::kernel::Axis;
use crate::ops::top_k::Order;

/// Below, most of a block would have nothing to do.
const SHORT: usize = 32;

pub(super) fn indices(extremum: &FirstExtremum, gpu: &dyn Gpu, x: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
    let axis = Axis::of(x.dims, extremum.dim);
    if axis.len == 0 {
        bail!("first extremum: axis {} of {:?} is empty", extremum.dim, x.dims);
    }
    let vectors = axis.outer * axis.inner;
    let result = gpu.alloc(DType::U32, vectors)?;
    let suffix = suffix(x.dtype)?;
    let smallest = Arg::I32(i32::from(extremum.order == Order::Smallest));
    let (vectors_arg, len) = (Arg::U64(vectors as u64), Arg::size(axis.len)?);
    if axis.inner == 1 && axis.len >= SHORT {
        let threads = axis.len.next_multiple_of(32).min(256);
        gpu.launch(&Launch {
            module: "extremum",
            name: format!("extremum_blocks_{suffix}").into(),
            blocks: [vectors.min(1 << 20), 1, 1],
            threads,
            shared: 0,
            arguments: &[x.pointer(), result.pointer(), vectors_arg, len, smallest],
        })?;
    } else {
        let threads = 128;
        gpu.launch(&Launch {
            module: "extremum",
            name: format!("extremum_threads_{suffix}").into(),
            blocks: blocks(vectors, threads),
            threads,
            shared: 0,
            arguments: &[x.pointer(), result.pointer(), vectors_arg, len, Arg::size(axis.inner)?, smallest],
        })?;
    }
    let mut dims = x.dims.to_vec();
    dims[extremum.dim] = 1;
    Ok((result, dims.into()))
}
