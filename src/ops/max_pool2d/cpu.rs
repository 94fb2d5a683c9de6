//! CPU code of the max pool.
//!
//! Deterministic: one thread per plane. The gradient looks for the maximum again rather than keeping its index.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor};

use super::{MaxPool2dSpec, device};
use crate::error::{Error, Result as CheckedResult};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Kernel, Real, detached2};

/// Checked sizes.
#[derive(Clone, Copy)]
pub(super) struct Geometry {
    spec: MaxPool2dSpec,
    planes: (usize, usize),
    height: usize,
    width: usize,
    out_height: usize,
    out_width: usize,
}

impl Geometry {
    pub(super) fn new(x: &[usize], spec: MaxPool2dSpec) -> CheckedResult<Self> {
        let MaxPool2dSpec { kernel, stride, padding } = spec;
        if kernel == 0 || stride == 0 || 2 * padding > kernel {
            let reason =
                format!("expected kernel and stride of at least 1, padding of at most kernel / 2, got {spec:?}");
            return Err(Error::value("max_pool2d", reason));
        }
        let out = |size: usize| (size + 2 * padding).checked_sub(kernel).map(|room| room / stride + 1);
        if let &[images, channels, height, width] = x
            && let (Some(out_height), Some(out_width)) = (out(height), out(width))
            && height * width > 0
        {
            return Ok(Self { spec, planes: (images, channels), height, width, out_height, out_width });
        }
        let least = kernel.saturating_sub(2 * padding).max(1);
        Err(Error::Shape {
            what: "max_pool2d input".to_string(),
            expected: format!("(N, C, {least}.., {least}..)"),
            got: x.to_vec(),
        })
    }

    fn plane(&self) -> usize {
        self.height * self.width
    }

    fn positions(&self) -> usize {
        self.out_height * self.out_width
    }

    pub(super) fn out_dims(&self) -> [usize; 4] {
        [self.planes.0, self.planes.1, self.out_height, self.out_width]
    }

    /// What the kernels take, in their order.
    pub(super) fn sizes(&self) -> [usize; 7] {
        let MaxPool2dSpec { kernel, stride, padding } = self.spec;
        [self.height, self.width, self.out_height, self.out_width, kernel, stride, padding]
    }

    /// Pixels of a window inside the map, along one axis.
    fn window(&self, out: usize, size: usize) -> Range<usize> {
        let start = out * self.spec.stride;
        start.saturating_sub(self.spec.padding)..(start + self.spec.kernel - self.spec.padding).min(size)
    }

    /// Calls `found(position, pixel)` with the first maximum of each window.
    fn for_each_maximum<T: Real>(&self, x: &[T], mut found: impl FnMut(usize, usize)) {
        for row in 0..self.out_height {
            let rows = self.window(row, self.height);
            for column in 0..self.out_width {
                let columns = self.window(column, self.width);
                let mut best = rows.start * self.width + columns.start;
                for y in rows.clone() {
                    for pixel in y * self.width + columns.start..y * self.width + columns.end {
                        // NaN is unequal to itself: the first one wins.
                        #[allow(clippy::eq_op, reason = "the test for NaN of a generic number")]
                        if x[pixel] > x[best] || (x[pixel] != x[pixel] && x[best] == x[best]) {
                            best = pixel;
                        }
                    }
                }
                found(row * self.out_width + column, best);
            }
        }
    }
}

pub(super) struct MaxPool(pub(super) MaxPool2dSpec);

impl Kernel<1> for MaxPool {
    const NAME: &'static str = "max_pool2d";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, self.0)?;
        let (images, channels) = geometry.planes;
        let y = filled(images * channels * geometry.positions(), geometry.positions(), |i, y| {
            let x = &x.values[i * geometry.plane()..][..geometry.plane()];
            geometry.for_each_maximum(x, |position, pixel| y[position] = x[pixel]);
        });
        Ok((y, (images, channels, geometry.out_height, geometry.out_width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::forward(&Geometry::new(x.dims, self.0)?, gpu, x)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached2(Gradient(self.0), x, grad)?)])
    }
}

struct Gradient(MaxPool2dSpec);

impl Kernel<2> for Gradient {
    const NAME: &'static str = "max_pool2d gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, self.0)?;
        let result = filled(x.values.len(), geometry.plane(), |i, result| {
            result.fill(T::zero());
            let x = &x.values[i * geometry.plane()..][..geometry.plane()];
            let grad = &grad.values[i * geometry.positions()..][..geometry.positions()];
            geometry.for_each_maximum(x, |position, pixel| result[pixel] += grad[position]);
        });
        Ok((result, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::gradient(&Geometry::new(inputs[0].dims, self.0)?, gpu, inputs)
    }
}
