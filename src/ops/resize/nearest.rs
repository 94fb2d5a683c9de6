//! CPU code of the nearest pixel: copies, and sums of them for the gradient.

use std::ops::Range;

use candle_core::{Result, Shape, Tensor, bail};

use super::device::{self, Sizes};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Kernel, Real, detached1};

pub(super) struct Nearest(pub(super) Sizes);

impl Kernel<1> for Nearest {
    const NAME: &'static str = "resize_nearest";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[images, channels, ..] = x.dims else { bail!("{}: expected 4 axes", Self::NAME) };
        let Sizes { from: (h, w), to: (height, width) } = self.0;
        let y = filled(images * channels * height * width, height * width, |plane, y| {
            let x = &x.values[plane * h * w..][..h * w];
            for (row, y) in y.chunks_exact_mut(width).enumerate() {
                let x = &x[row * h / height * w..][..w];
                for (column, y) in y.iter_mut().enumerate() {
                    *y = x[column * w / width];
                }
            }
        });
        Ok((y, (images, channels, height, width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::nearest(self.0, false, gpu, x)
    }

    fn backward(&self, _: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached1(Gradient(self.0), grad)?)])
    }
}

struct Gradient(Sizes);

impl Kernel<1> for Gradient {
    const NAME: &'static str = "resize_nearest gradient";

    fn forward<T: Real>(&self, [grad]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[images, channels, ..] = grad.dims else { bail!("{}: expected 4 axes", Self::NAME) };
        let Sizes { from: (h, w), to: (height, width) } = self.0;
        let result = filled(images * channels * h * w, h * w, |plane, result| {
            result.fill(T::zero());
            let grad = &grad.values[plane * height * width..][..height * width];
            for (row, result) in result.chunks_exact_mut(w).enumerate() {
                for (column, result) in result.iter_mut().enumerate() {
                    for line in readers(row, h, height).map(|row| &grad[row * width..][..width]) {
                        for &grad in &line[readers(column, w, width)] {
                            *result += grad;
                        }
                    }
                }
            }
        });
        Ok((result, (images, channels, h, w).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::nearest(self.0, true, gpu, grad)
    }
}

/// The outputs whose source is this position.
fn readers(source: usize, input: usize, output: usize) -> Range<usize> {
    (source * output).div_ceil(input)..((source + 1) * output).div_ceil(input)
}
