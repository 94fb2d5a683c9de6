//! The host's part of the kernels. What is in place on a CUDA device is written elsewhere on the emulator, which wants its
//! inputs unchanged, and then taken over.

use candle_core::{CpuStorage, Layout, Result, Tensor, bail};

use super::SgdStep;
use super::step::span;
use crate::ops::device::{Arg, Buffer, DeviceArray, Gpu, Launch, array, blocks, emulator, suffix};

const THREADS: usize = 256;
const NULL: Arg = Arg::Pointer(0);

/// Writes to the memory of weight and velocity, or to other memory of the same sizes.
pub(super) fn step(
    numbers: &SgdStep,
    scale: Option<&Tensor>,
    gpu: &dyn Gpu,
    [weight, grad]: [DeviceArray<'_>; 2],
    velocity: Option<DeviceArray<'_>>,
    to: Option<[&Buffer; 2]>,
) -> Result<()> {
    let scale = scale.map(array).transpose()?;
    let velocity = velocity.map_or(NULL, |velocity| velocity.pointer());
    let [to, velocity_to] = match to {
        Some([to, velocity_to]) => [to.pointer(), if velocity == NULL { NULL } else { velocity_to.pointer() }],
        None => [weight.pointer(), velocity],
    };
    gpu.launch(&Launch {
        module: "sgd",
        name: format!("sgd_step_{}", suffix(weight.dtype)?).into(),
        blocks: blocks(weight.len(), THREADS),
        threads: THREADS,
        shared: 0,
        arguments: &[
            weight.pointer(),
            grad.pointer(),
            velocity,
            scale.as_ref().map_or(NULL, |scale| scale.pointer()),
            to,
            velocity_to,
            Arg::U64(weight.len() as u64),
            Arg::F64(numbers.rate),
            Arg::F64(numbers.weight_decay),
            Arg::F64(numbers.momentum),
        ],
    })
}

/// Sums of squares, a block for each.
pub(super) fn squares(gpu: &dyn Gpu, x: DeviceArray<'_>, sums: Arg, count: usize) -> Result<()> {
    gpu.launch(&Launch {
        module: "sgd",
        name: format!("sgd_squares_{}", suffix(x.dtype)?).into(),
        blocks: [count, 1, 1],
        threads: THREADS,
        shared: 0,
        arguments: &[x.pointer(), sums, Arg::U64(x.len() as u64)],
    })
}

/// One number of all sums.
pub(super) fn scale(gpu: &dyn Gpu, sums: DeviceArray<'_>, limit: f64, to: Arg) -> Result<()> {
    gpu.launch(&Launch {
        module: "sgd",
        name: "sgd_scale".into(),
        blocks: [1, 1, 1],
        threads: THREADS,
        shared: 0,
        arguments: &[sums.pointer(), to, Arg::size(sums.len())?, Arg::F64(limit)],
    })
}

type Host<'a> = (&'a CpuStorage, &'a Layout);

pub(super) fn emulated_step(
    numbers: &SgdStep,
    scale: Option<&Tensor>,
    (weight, at): (&mut CpuStorage, &Layout),
    (grad, grad_at): Host<'_>,
    velocity: Option<(&mut CpuStorage, &Layout)>,
) -> Result<()> {
    let Some(gpu) = emulator() else { bail!("there is no emulator") };
    let (weight_copy, grad_copy) = (gpu.copy(weight, at)?, gpu.copy(grad, grad_at)?);
    let velocity_copy = velocity.as_ref().map(|(velocity, at)| gpu.copy(velocity, at)).transpose()?;
    let dims = at.dims();
    let arrays = [weight_copy.array(dims), grad_copy.array(dims)];
    let alloc = || gpu.alloc(arrays[0].dtype, arrays[0].len());
    let (to, velocity_to) = (alloc()?, alloc()?);
    let of_velocity = velocity_copy.as_ref().map(|copy| copy.array(dims));
    step(numbers, scale, &gpu, arrays, of_velocity, Some([&to, &velocity_to]))?;
    overwrite(weight, at, gpu.storage(to)?)?;
    match velocity {
        Some((velocity, at)) => overwrite(velocity, at, gpu.storage(velocity_to)?),
        None => Ok(()),
    }
}

pub(super) fn emulated_squares((x, at): Host<'_>, sums: &mut [f64]) -> Result<()> {
    let Some(gpu) = emulator() else { bail!("there is no emulator") };
    let (copy, to) = (gpu.copy(x, at)?, gpu.alloc(candle_core::DType::F64, sums.len())?);
    squares(&gpu, copy.array(at.dims()), to.pointer(), sums.len())?;
    take(sums, gpu.storage(to)?)
}

pub(super) fn emulated_scale((sums, at): Host<'_>, limit: f64, to_host: &mut [f64]) -> Result<()> {
    let Some(gpu) = emulator() else { bail!("there is no emulator") };
    let (copy, to) = (gpu.copy(sums, at)?, gpu.alloc(candle_core::DType::F64, to_host.len())?);
    scale(&gpu, copy.array(at.dims()), limit, to.pointer())?;
    take(to_host, gpu.storage(to)?)
}

fn take(to: &mut [f64], values: CpuStorage) -> Result<()> {
    let CpuStorage::F64(values) = values else { bail!("expected float64") };
    to.copy_from_slice(&values);
    Ok(())
}

fn overwrite(storage: &mut CpuStorage, at: &Layout, values: CpuStorage) -> Result<()> {
    let span = span(at)?;
    match (storage, values) {
        (CpuStorage::F32(to), CpuStorage::F32(values)) => to[span].copy_from_slice(&values),
        (CpuStorage::F64(to), CpuStorage::F64(values)) => to[span].copy_from_slice(&values),
        (CpuStorage::F16(to), CpuStorage::F16(values)) => to[span].copy_from_slice(&values),
        (CpuStorage::BF16(to), CpuStorage::BF16(values)) => to[span].copy_from_slice(&values),
        _ => bail!("expected floating point tensors of one type"),
    }
    Ok(())
}
