//! CPU code of the depthwise convolution: rows of the input, scaled and added up.
//!
//! Deterministic: one thread per plane, or per channel for the gradient of the weight, which sums over taps' rows and
//! images in their order, in float64.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::dense::{Plane, correlate};
use super::{DepthwiseSpec, device};
use crate::error::{Error, Result as CheckedResult};
use crate::ops::device::{Buffer, DeviceArray, Gpu, Pass};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Kernel, Real, detached2};

/// Checked sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    images: usize,
    channels: usize,
    height: usize,
    width: usize,
    kernel: (usize, usize),
    out_height: usize,
    out_width: usize,
    spec: DepthwiseSpec,
}

impl Geometry {
    pub(super) fn new(x: &[usize], weight: &[usize], spec: DepthwiseSpec) -> CheckedResult<Self> {
        let shape = |what: &str, expected: String, got: &[usize]| Error::Shape {
            what: format!("depthwise_conv2d {what}"),
            expected,
            got: got.to_vec(),
        };
        let DepthwiseSpec { stride, padding, dilation } = spec;
        for (name, value) in [("stride", stride), ("dilation", dilation)] {
            if value == 0 {
                return Err(Error::value(format!("depthwise_conv2d {name}"), "expected at least 1, got 0"));
            }
        }
        let &[images, channels, height @ (1..), width @ (1..)] = x else {
            return Err(shape("input", "(N, C, h, w), maps not empty".to_string(), x));
        };
        let kernel = match *weight {
            [outputs, 1, kernel_height @ (1..), kernel_width @ (1..)] if outputs == channels => {
                (kernel_height, kernel_width)
            }
            _ => return Err(shape("weight", format!("({channels}, 1, 1.., 1..)"), weight)),
        };
        let out = |size: usize, kernel: usize| {
            let reach = dilation * (kernel - 1) + 1;
            (size + 2 * padding).checked_sub(reach).map(|room| room / stride + 1)
        };
        let (Some(out_height), Some(out_width)) = (out(height, kernel.0), out(width, kernel.1)) else {
            let expected = format!("maps of at least the reach of a {}x{} kernel, {spec:?}", kernel.0, kernel.1);
            return Err(shape("input", expected, x));
        };
        Ok(Self { images, channels, height, width, kernel, out_height, out_width, spec })
    }

    /// Zeros around a gradient that is correlated with the turned kernel; `None` where it is no correlation.
    fn padding_of_gradient(&self) -> Option<(usize, usize)> {
        let DepthwiseSpec { stride, padding, dilation } = self.spec;
        let around = |kernel: usize| (dilation * (kernel - 1)).checked_sub(padding);
        (stride == 1).then_some(())?;
        Some((around(self.kernel.0)?, around(self.kernel.1)?))
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    fn taps(&self) -> usize {
        self.kernel.0 * self.kernel.1
    }

    /// The taps of a plane that meet the map, output rows outermost so that what is read stays in the cache.
    fn for_each_meeting(&self, mut found: impl FnMut(Meeting)) {
        let columns: Vec<_> = (0..self.kernel.1).map(|tap| self.inside(tap, self.width, self.out_width)).collect();
        let rows: Vec<_> = (0..self.kernel.0).map(|tap| self.inside(tap, self.height, self.out_height)).collect();
        for row in 0..self.out_height {
            for (vertical, _) in rows.iter().enumerate().filter(|(_, rows)| rows.contains(&row)) {
                let y = row * self.spec.stride + vertical * self.spec.dilation - self.spec.padding;
                for (horizontal, across) in columns.iter().enumerate().filter(|(_, across)| !across.is_empty()) {
                    let x = across.start * self.spec.stride + horizontal * self.spec.dilation - self.spec.padding;
                    found(Meeting {
                        tap: vertical * self.kernel.1 + horizontal,
                        output: row * self.out_width + across.start,
                        input: y * self.width + x,
                        len: across.len(),
                    });
                }
            }
        }
    }

    /// Output indices whose input lies inside the map, for one tap along one axis.
    fn inside(&self, tap: usize, size: usize, out: usize) -> Range<usize> {
        let DepthwiseSpec { stride, padding, dilation } = self.spec;
        // input = output * stride + offset - padding
        let offset = tap * dilation;
        let start = padding.saturating_sub(offset).div_ceil(stride).min(out);
        let end = (size + padding).saturating_sub(offset).div_ceil(stride).min(out);
        start..end.max(start)
    }
}

/// A tap along one output row: `len` outputs in a row, and every `stride`-th input.
struct Meeting {
    tap: usize,
    output: usize,
    input: usize,
    len: usize,
}

pub(super) struct Depthwise(pub(super) DepthwiseSpec);

impl Kernel<2> for Depthwise {
    const NAME: &'static str = "depthwise_conv2d";

    fn forward<T: Real>(&self, [x, weight]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, weight.dims, self.0)?;
        let (images, channels, positions) = (geometry.images, geometry.channels, geometry.positions());
        let y = filled(images * channels * positions, positions, |i, y| {
            let x = &x.values[i * geometry.plane()..][..geometry.plane()];
            let weight = &weight.values[(i % channels) * geometry.taps()..][..geometry.taps()];
            let DepthwiseSpec { stride, padding, dilation } = self.0;
            if stride == 1 {
                let size = (geometry.height, geometry.width);
                let plane = Plane { values: x, size, padding: (padding, padding) };
                return correlate(plane, weight, geometry.kernel, dilation, y, geometry.out_width);
            }
            y.fill(T::zero());
            geometry.for_each_meeting(|Meeting { tap, output, input, len }| {
                let (y, weight) = (&mut y[output..][..len], weight[tap]);
                for (y, &x) in y.iter_mut().zip(x[input..].iter().step_by(stride)) {
                    *y += weight * x;
                }
            });
        });
        Ok((y, (images, channels, geometry.out_height, geometry.out_width).into()))
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
    spec: DepthwiseSpec,
    /// Shape of the input.
    dims: Vec<usize>,
}

impl Kernel<2> for InputGradient {
    const NAME: &'static str = "depthwise_conv2d input gradient";

    fn forward<T: Real>(&self, [grad, weight]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(&self.dims, weight.dims, self.spec)?;
        let result = filled(self.dims.iter().product(), geometry.plane(), |i, result| {
            let grad = &grad.values[i * geometry.positions()..][..geometry.positions()];
            let weight = &weight.values[(i % geometry.channels) * geometry.taps()..][..geometry.taps()];
            if let Some(padding) = geometry.padding_of_gradient() {
                // At stride 1 it is the correlation of what comes back with the kernel turned by half.
                let turned: Vec<T> = weight.iter().rev().copied().collect();
                let plane = Plane { values: grad, size: (geometry.out_height, geometry.out_width), padding };
                return correlate(plane, &turned, geometry.kernel, self.spec.dilation, result, geometry.width);
            }
            result.fill(T::zero());
            geometry.for_each_meeting(|Meeting { tap, output, input, len }| {
                let (grad, weight) = (&grad[output..][..len], weight[tap]);
                for (result, &grad) in result[input..].iter_mut().step_by(self.spec.stride).zip(grad) {
                    *result += weight * grad;
                }
            });
        });
        Ok((result, self.dims.as_slice().into()))
    }

    fn device(&self, gpu: &dyn Gpu, factors: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::run(Pass::InputGradient, [&self.dims, factors[1].dims], self.spec, gpu, factors)
    }
}

struct WeightGradient {
    spec: DepthwiseSpec,
    /// Shape of the weight.
    dims: Vec<usize>,
}

impl Kernel<2> for WeightGradient {
    const NAME: &'static str = "depthwise_conv2d weight gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, &self.dims, self.spec)?;
        let channel = |channel: usize| {
            let mut sums = vec![0f64; geometry.taps()];
            for plane in (0..geometry.images).map(|image| image * geometry.channels + channel) {
                let x = &x.values[plane * geometry.plane()..][..geometry.plane()];
                let grad = &grad.values[plane * geometry.positions()..][..geometry.positions()];
                geometry.for_each_meeting(|Meeting { tap, output, input, len }| {
                    let grad = &grad[output..][..len];
                    sums[tap] += if self.spec.stride == 1 {
                        neighbours_product(grad, &x[input..][..len])
                    } else {
                        let x = x[input..].iter().step_by(self.spec.stride);
                        grad.iter().zip(x).map(|(&grad, &x)| grad.to_f64() * x.to_f64()).sum()
                    };
                });
            }
            sums.into_iter().map(T::from_f64).collect::<Vec<T>>()
        };
        let sums: Vec<Vec<T>> = (0..geometry.channels).into_par_iter().map(channel).collect();
        Ok((sums.concat(), self.dims.as_slice().into()))
    }

    fn device(&self, gpu: &dyn Gpu, factors: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::run(Pass::WeightGradient, [factors[0].dims, &self.dims], self.spec, gpu, factors)
    }
}

/// Sums that run side by side, so that the compiler can vectorise them.
const LANES: usize = 8;

/// The inner product of slices of one length, in a fixed order.
fn neighbours_product<T: Real>(a: &[T], b: &[T]) -> f64 {
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut lanes = [0f64; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for (sum, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *sum += a.to_f64() * b.to_f64();
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(&a, &b)| a.to_f64() * b.to_f64()).sum();
    lanes.into_iter().sum::<f64>() + rest
}
