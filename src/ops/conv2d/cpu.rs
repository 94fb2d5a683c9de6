//! CPU code of the convolution: the input laid out so that taps are distances, multiplied in registers.
//!
//! Deterministic: each number is summed in the same order whatever the number of threads.

use candle_core::{Result, Shape, Tensor};
use pulp::Arch;
use rayon::prelude::*;

use super::around::{Before, Finish};
use super::geometry::Geometry;
use super::gradient::weight_gradient;
use super::plan::Plan;
use super::product::{Products, Task, panel_of};
use super::weight::PackedWeight;
use super::{Conv2dSpec, device};
use crate::ops::device::{Buffer, DeviceArray, Gpu, Pass};
use crate::ops::kernel::{Array, Kernel, Real, detached2};

pub(super) struct Convolution(pub(super) Conv2dSpec);

impl Kernel<2> for Convolution {
    const NAME: &'static str = "conv2d";

    fn forward<T: Real>(&self, [x, weight]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, weight.dims, self.0)?;
        let y = forward(&geometry, x.values, weight.values, None, Finish::Keep);
        Ok((y, geometry.result_dims().into()))
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
        let values = input_gradient(&geometry, grad.values, weight.values, Finish::Keep);
        Ok((values, self.dims.as_slice().into()))
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
        Ok((weight_gradient(&geometry, x.values, grad.values, None), self.dims.as_slice().into()))
    }

    fn device(&self, gpu: &dyn Gpu, factors: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::run(Pass::WeightGradient, [factors[0].dims, &self.dims], self.spec, gpu, factors)
    }
}

pub(super) fn forward<T: Real>(
    geometry: &Geometry,
    x: &[T],
    weight: &[T],
    before: Option<Before<'_, T>>,
    finish: Finish<'_, T>,
) -> Vec<T> {
    convolve(&Plan::forward(geometry), geometry, x, weight, before, finish)
}

pub(super) fn input_gradient<T: Real>(geometry: &Geometry, grad: &[T], weight: &[T], finish: Finish<'_, T>) -> Vec<T> {
    convolve(&Plan::backward(geometry), geometry, grad, weight, None, finish)
}

fn convolve<T: Real>(
    plan: &Plan,
    geometry: &Geometry,
    source: &[T],
    weight: &[T],
    before: Option<Before<'_, T>>,
    finish: Finish<'_, T>,
) -> Vec<T> {
    let (images, groups) = (geometry.images, geometry.groups);
    let image_len = groups * plan.results * plan.plane;
    let mut results = vec![T::zero(); images * image_len];
    if results.is_empty() {
        return results;
    }
    let panel = panel_of::<T>();
    let weights: Vec<Vec<PackedWeight<T>>> = weight
        .chunks_exact(weight.len() / groups)
        .map(|weight| plan.parts.iter().map(|part| PackedWeight::new(plan, part, weight, panel)).collect())
        .collect();
    let plane = plan.layout.plane();
    let each: Vec<_> = weights.iter().map(|weights| Products { plan, weights, before, finish }).collect();
    let panels = plan.results.div_ceil(panel);
    let (at_once, shares) = split(images, groups, panels);
    let image_maps = groups * plan.channels;
    let mut tasks = Vec::new();
    let mut rest = results.as_mut_slice();
    let mut start = 0;
    for first in (0..images).step_by(at_once) {
        for (group, products) in each.iter().enumerate() {
            for share in 0..shares {
                let panels = panels * share / shares..panels * (share + 1) / shares;
                let channels = (panels.end * panel).min(plan.results) - panels.start * panel;
                let images = at_once.min(images - first);
                let (results, behind) = rest.split_at_mut(images * channels * plan.plane);
                rest = behind;
                let first_map = first * image_maps + group * plan.channels;
                let source = &source[first_map * plane..];
                let len = results.len();
                tasks.push(Task { products, source, first_map, image_maps, images, panels, results, start });
                start += len;
            }
        }
    }
    tasks.into_par_iter().for_each(|task| Arch::new().dispatch(task));
    results
}

/// Images of a task, and tasks that share the results of an image.
fn split(images: usize, groups: usize, panels: usize) -> (usize, usize) {
    let threads = rayon::current_num_threads();
    if groups > 1 {
        return (1, 1);
    }
    if images.is_multiple_of(threads) {
        return (images / threads, 1);
    }
    let shares = if images > MANY_IMAGES * threads { 1 } else { threads.min(panels) };
    (1, shares)
}

/// Images per thread from which on it does not matter that the last ones leave threads without work.
const MANY_IMAGES: usize = 4;
