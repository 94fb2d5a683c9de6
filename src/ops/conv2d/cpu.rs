//! CPU code of the convolution: products of the weight with patches of the input.
//!
//! Deterministic: how the work is cut depends on sizes only, and sums over images run in their order.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::geometry::Geometry;
use super::{Conv2dSpec, device};
use crate::ops::device::{Buffer, DeviceArray, Gpu, Pass};
use crate::ops::gemm::{Matrix, MatrixMut, Threads, product};
use crate::ops::kernel::{Array, Kernel, Real, detached2, for_each_chunk};

pub(super) struct Convolution(pub(super) Conv2dSpec);

impl Kernel<2> for Convolution {
    const NAME: &'static str = "conv2d";

    fn forward<T: Real>(&self, [x, weight]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, weight.dims, self.0)?;
        let y = forward(&geometry, x.values, weight.values);
        let channels = geometry.groups * geometry.outputs;
        Ok((y, (geometry.images, channels, geometry.out_height, geometry.out_width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, factors: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::run(Pass::Forward, factors.map(|factor| factor.dims), self.0, gpu, factors)
    }

    fn backward(&self, [x, weight]: [&Tensor; 2], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let of_input = || detached2(InputGradient { spec: self.0, dims: x.dims().to_vec() }, grad, weight);
        let of_weight = || detached2(WeightGradient { spec: self.0, dims: weight.dims().to_vec() }, x, grad);
        Ok([x.track_op().then(of_input).transpose()?, weight.track_op().then(of_weight).transpose()?])
    }
}

struct InputGradient {
    spec: Conv2dSpec,
    /// Shape of the input.
    dims: Vec<usize>,
}

impl Kernel<2> for InputGradient {
    const NAME: &'static str = "conv2d input gradient";

    fn forward<T: Real>(&self, [grad, weight]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(&self.dims, weight.dims, self.spec)?;
        Ok((input_gradient(&geometry, grad.values, weight.values), self.dims.as_slice().into()))
    }

    fn device(&self, gpu: &dyn Gpu, factors: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::run(Pass::InputGradient, [&self.dims, factors[1].dims], self.spec, gpu, factors)
    }
}

struct WeightGradient {
    spec: Conv2dSpec,
    /// Shape of the weight.
    dims: Vec<usize>,
}

impl Kernel<2> for WeightGradient {
    const NAME: &'static str = "conv2d weight gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, &self.dims, self.spec)?;
        Ok((weight_gradient(&geometry, x.values, grad.values), self.dims.as_slice().into()))
    }

    fn device(&self, gpu: &dyn Gpu, factors: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::run(Pass::WeightGradient, [factors[0].dims, &self.dims], self.spec, gpu, factors)
    }
}

/// Images times groups from which on each is one task. Below, the threads share the products.
const MANY: usize = 4;

/// Bytes of patches that a thread makes at a time, so that they stay in its cache.
const PATCH_BYTES: usize = 1 << 20;

/// Bytes of patches that all threads make at a time: more, since they wait for each other after each.
const SHARED_PATCH_BYTES: usize = 1 << 23;

/// Least positions of a block: with fewer, reading the weight would dominate.
const LEAST_POSITIONS: usize = 192;

/// Positions of a block of patches of so many rows.
fn block_positions<T>(threads: Threads, depth: usize) -> usize {
    let bytes = match threads {
        Threads::One => PATCH_BYTES,
        Threads::Pool => SHARED_PATCH_BYTES,
    };
    (bytes / (depth * size_of::<T>())).max(LEAST_POSITIONS)
}

/// Runs `work(threads, buffer, i, chunk)` on the chunks of `values`, in parallel when they are many.
fn for_each_map<T: Real>(
    values: &mut [T],
    len: usize,
    work: impl Fn(Threads, &mut Vec<T>, usize, &mut [T]) + Send + Sync,
) {
    if len == 0 {
        return;
    }
    if values.len() / len < MANY {
        let mut buffer = Vec::new();
        for (i, chunk) in values.chunks_mut(len).enumerate() {
            work(Threads::Pool, &mut buffer, i, chunk);
        }
        return;
    }
    values
        .par_chunks_mut(len)
        .enumerate()
        .for_each_init(Vec::new, |buffer, (i, chunk)| work(Threads::One, buffer, i, chunk));
}

fn forward<T: Real>(geometry: &Geometry, x: &[T], weight: &[T]) -> Vec<T> {
    let (positions, depth, outputs) = (geometry.positions(), geometry.depth(), geometry.outputs);
    let input_len = geometry.inputs * geometry.plane();
    let mut y = vec![T::zero(); geometry.images * geometry.groups * outputs * positions];
    for_each_map(&mut y, outputs * positions, |threads, patches, i, y| {
        let x = &x[i * input_len..][..input_len];
        let weight = &weight[(i % geometry.groups) * outputs * depth..][..outputs * depth];
        let weight = Matrix::new(weight, outputs, depth, depth);
        if geometry.is_pointwise() {
            let y = MatrixMut::new(y, outputs, positions, positions);
            return product(threads, y, false, weight, Matrix::new(x, depth, positions, positions));
        }
        for rows in geometry.row_blocks(block_positions::<T>(threads, depth)) {
            let block = rows.len() * geometry.out_width;
            patches.resize(depth * block, T::zero());
            geometry.gather(threads, x, &rows, patches);
            let y = MatrixMut::new(&mut y[rows.start * geometry.out_width..], outputs, block, positions);
            product(threads, y, false, weight, Matrix::new(patches, depth, block, block));
        }
    });
    y
}

fn input_gradient<T: Real>(geometry: &Geometry, grad: &[T], weight: &[T]) -> Vec<T> {
    // Sums inside the products instead of in memory, where possible.
    if let Some(reversed) = geometry.reversed() {
        return forward(&reversed, grad, &reverse(geometry, weight));
    }
    let (positions, depth, outputs) = (geometry.positions(), geometry.depth(), geometry.outputs);
    let input_len = geometry.inputs * geometry.plane();
    let mut result = vec![T::zero(); geometry.images * geometry.groups * input_len];
    for_each_map(&mut result, input_len, |threads, patches, i, result| {
        let grad = &grad[i * outputs * positions..][..outputs * positions];
        let weight = &weight[(i % geometry.groups) * outputs * depth..][..outputs * depth];
        let weight = Matrix::new(weight, outputs, depth, depth).transposed();
        if geometry.is_pointwise() {
            let result = MatrixMut::new(result, depth, positions, positions);
            return product(threads, result, false, weight, Matrix::new(grad, outputs, positions, positions));
        }
        for rows in geometry.row_blocks(block_positions::<T>(threads, depth)) {
            let block = rows.len() * geometry.out_width;
            patches.resize(depth * block, T::zero());
            let grad = Matrix::new(&grad[rows.start * geometry.out_width..], outputs, block, positions);
            product(threads, MatrixMut::new(patches, depth, block, block), false, weight, grad);
            geometry.scatter(threads, patches, &rows, result);
        }
    });
    result
}

/// The weight with its channel axes swapped, within each group, and its taps in reverse.
fn reverse<T: Real>(geometry: &Geometry, weight: &[T]) -> Vec<T> {
    let Geometry { inputs, outputs, .. } = *geometry;
    let (taps, depth) = (geometry.taps(), geometry.depth());
    let mut result = vec![T::zero(); weight.len()];
    // Some rows at a time, so that a line of the cache is read once.
    for_each_chunk(&mut result, REVERSED_ROWS * outputs * taps, |block, rows| {
        for output in 0..outputs {
            for (i, row) in rows.chunks_exact_mut(outputs * taps).enumerate() {
                let (group, input) = ((block * REVERSED_ROWS + i) / inputs, (block * REVERSED_ROWS + i) % inputs);
                let source = &weight[(group * outputs + output) * depth + input * taps..][..taps];
                for (result, &source) in row[output * taps..].iter_mut().zip(source.iter().rev()) {
                    *result = source;
                }
            }
        }
    });
    result
}

const REVERSED_ROWS: usize = 16;

/// Rows of the patch matrix in a task of the weight's gradient, about.
const TASK_DEPTH: usize = 144;

/// Positions at a time in the weight's gradient; the product runs over them.
const TASK_POSITIONS: usize = 1024;

/// Tasks wanted; where the input channels give fewer, the images are divided too.
const TASKS: usize = 8;

/// Tasks are blocks of input channels, hence of columns of the weight, by runs of images.
fn weight_gradient<T: Real>(geometry: &Geometry, x: &[T], grad: &[T]) -> Vec<T> {
    let (depth, outputs, groups) = (geometry.depth(), geometry.outputs, geometry.groups);
    let channels = (TASK_DEPTH / geometry.taps()).clamp(1, geometry.inputs);
    let blocks = geometry.inputs.div_ceil(channels);
    let runs = TASKS.div_ceil(blocks * groups).min(geometry.images).max(1);
    let images = geometry.images.div_ceil(runs).max(1);
    let task = |task: usize| {
        let (group, block, run) = (task / (blocks * runs), task / runs % blocks, task % runs);
        let channels = block * channels..((block + 1) * channels).min(geometry.inputs);
        let images = run * images..((run + 1) * images).min(geometry.images);
        weight_gradient_block(geometry, x, grad, group, channels, images)
    };
    let parts: Vec<Vec<T>> = (0..groups * blocks * runs).into_par_iter().map(task).collect();
    let mut result = vec![T::zero(); groups * outputs * depth];
    result.par_chunks_mut(depth).with_min_len(64).enumerate().for_each(|(output, result)| {
        let (group, output) = (output / outputs, output % outputs);
        for (block, result) in result.chunks_mut(channels * geometry.taps()).enumerate() {
            let (start, step) = match narrow_outputs(outputs, result.len()) {
                true => (output, outputs),
                false => (output * result.len(), 1),
            };
            for part in &parts[(group * blocks + block) * runs..][..runs] {
                for (result, &part) in result.iter_mut().zip(part[start..].iter().step_by(step)) {
                    *result += part;
                }
            }
        }
    });
    result
}

/// Whether a part of the weight's gradient is kept as `(depth, outputs)` rather than `(outputs, depth)`: a product copies
/// the factor along the last axis of its result, which had better be the smaller one.
fn narrow_outputs(outputs: usize, depth: usize) -> bool {
    outputs < depth
}

/// The columns of the weight's gradient for some input channels, summed over some images.
fn weight_gradient_block<T: Real>(
    geometry: &Geometry,
    x: &[T],
    grad: &[T],
    group: usize,
    channels: std::ops::Range<usize>,
    images: std::ops::Range<usize>,
) -> Vec<T> {
    let (positions, outputs, plane) = (geometry.positions(), geometry.outputs, geometry.plane());
    let depth = channels.len() * geometry.taps();
    let mut result = vec![T::zero(); outputs * depth];
    let mut patches = Vec::new();
    for image in images {
        let item = image * geometry.groups + group;
        let x = &x[(item * geometry.inputs + channels.start) * plane..][..channels.len() * plane];
        let grad = &grad[item * outputs * positions..][..outputs * positions];
        let blocks = if geometry.is_pointwise() { positions } else { TASK_POSITIONS };
        for rows in geometry.row_blocks(blocks) {
            let block = rows.len() * geometry.out_width;
            let start = rows.start * geometry.out_width;
            let patches = if geometry.is_pointwise() {
                Matrix::new(x, depth, positions, positions)
            } else {
                patches.resize(depth * block, T::zero());
                geometry.gather(Threads::One, x, &rows, &mut patches);
                Matrix::new(&patches, depth, block, block)
            };
            let grad = Matrix::new(&grad[start..], outputs, block, positions);
            if narrow_outputs(outputs, depth) {
                let result = MatrixMut::new(&mut result, depth, outputs, outputs);
                product(Threads::One, result, true, patches, grad.transposed());
            } else {
                let result = MatrixMut::new(&mut result, outputs, depth, depth);
                product(Threads::One, result, true, grad, patches.transposed());
            }
        }
    }
    result
}
