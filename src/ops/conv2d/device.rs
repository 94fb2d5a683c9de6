//! The host's part of convolutions on devices: cuDNN's, else the kernels, a thread for each result.

use candle_core::{Result, Shape};

use super::Conv2dSpec;
use super::geometry::Geometry;
use crate::ops::device::{
    Arg, Buffer, Convolution, DeviceArray, Gpu, Launch, Pass, blocks, convolution_precision, map_blocks, suffix,
};

const THREADS: usize = 128;

/// Threads that share the sum of one weight's gradient.
const WARP: usize = 32;

/// A pass of the convolution of an input and a weight of these shapes.
pub(super) fn run(
    pass: Pass,
    [input, weight]: [&[usize]; 2],
    spec: Conv2dSpec,
    gpu: &dyn Gpu,
    factors: [DeviceArray<'_>; 2],
) -> Result<(Buffer, Shape)> {
    let convolution = described(pass, &Geometry::new(input, weight, spec)?, spec, factors[0]);
    let [a, b] = factors;
    let shape = Shape::from(convolution.dims().to_vec());
    let has_work = [a, b].iter().all(|factor| factor.len() > 0);
    if let Some(cuda) = gpu.as_cuda()
        && has_work
        && let Some(result) = cuda.convolution(&convolution, a, b)?
    {
        return Ok((result, shape));
    }
    Ok((by_kernels(&convolution, gpu, factors)?, shape))
}

/// The same by the kernels always.
pub(in crate::ops) fn run_directly(
    pass: Pass,
    [input, weight]: [&[usize]; 2],
    spec: Conv2dSpec,
    gpu: &dyn Gpu,
    factors: [DeviceArray<'_>; 2],
) -> Result<(Buffer, Shape)> {
    let convolution = described(pass, &Geometry::new(input, weight, spec)?, spec, factors[0]);
    Ok((by_kernels(&convolution, gpu, factors)?, convolution.dims().to_vec().into()))
}

fn described(pass: Pass, geometry: &Geometry, spec: Conv2dSpec, factor: DeviceArray<'_>) -> Convolution {
    let Geometry { images, groups, inputs, outputs, height, width, kernel, out_height, out_width, .. } = *geometry;
    Convolution {
        pass,
        dtype: factor.dtype,
        precision: convolution_precision(),
        input: [images, groups * inputs, height, width],
        weight: [groups * outputs, inputs, kernel.0, kernel.1],
        result: [images, groups * outputs, out_height, out_width],
        stride: spec.stride,
        padding: spec.padding,
        dilation: spec.dilation,
        groups,
    }
}

fn by_kernels(convolution: &Convolution, gpu: &dyn Gpu, [a, b]: [DeviceArray<'_>; 2]) -> Result<Buffer> {
    let Convolution { pass, input, weight, result: out, groups, .. } = *convolution;
    let dims = convolution.dims();
    let result = gpu.alloc(a.dtype, dims.iter().product())?;
    let (maps, pixels): (usize, usize) = (dims[..2].iter().product(), dims[2..].iter().product());
    let (name, count, (blocks, threads)) = match pass {
        Pass::Forward => ("conv2d", maps, map_blocks(maps, pixels)),
        Pass::InputGradient => ("conv2d_input", maps, map_blocks(maps, pixels)),
        Pass::WeightGradient => ("conv2d_weight", maps * pixels, (blocks(maps * pixels * WARP, THREADS), THREADS)),
    };
    let sizes = [
        input[0],
        groups,
        weight[1],
        weight[0] / groups,
        input[2],
        input[3],
        weight[2],
        weight[3],
        out[2],
        out[3],
        convolution.stride,
        convolution.padding,
        convolution.dilation,
    ];
    let mut arguments = vec![a.pointer(), b.pointer(), result.pointer(), Arg::U64(count as u64)];
    for size in sizes {
        arguments.push(Arg::size(size)?);
    }
    gpu.launch(&Launch {
        module: "conv2d",
        name: format!("{name}_{}", suffix(a.dtype)?).into(),
        blocks,
        threads,
        shared: 0,
        arguments: &arguments,
    })?;
    Ok(result)
}
