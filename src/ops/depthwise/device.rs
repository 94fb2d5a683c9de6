//! The host's part on devices: the kernels of the convolution, with one channel a group.

use candle_core::{Result, Shape};

use super::DepthwiseSpec;
use crate::ops::conv2d::{Conv2dSpec, run_directly};
use crate::ops::device::{Buffer, DeviceArray, Gpu, Pass};

pub(super) fn run(
    pass: Pass,
    dims: [&[usize]; 2],
    spec: DepthwiseSpec,
    gpu: &dyn Gpu,
    factors: [DeviceArray<'_>; 2],
) -> Result<(Buffer, Shape)> {
    let DepthwiseSpec { stride, padding, dilation } = spec;
    let groups = dims[1].first().copied().unwrap_or_default();
    run_directly(pass, dims, Conv2dSpec { stride, padding, dilation, groups }, gpu, factors)
}
