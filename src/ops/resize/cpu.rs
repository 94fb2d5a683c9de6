//! CPU code of the bilinear interpolation.
//!
//! Deterministic: one thread per plane, contributions to a source pixel added in the order of the output pixels.

use candle_core::{Result, Shape, Tensor};

use super::Corners;
use super::device::{self, Sizes};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::kernel::{Array, GRAIN, Kernel, Real, detached1};
use rayon::prelude::*;

#[derive(Clone, Copy)]
pub(super) struct Bilinear {
    pub(super) size: (usize, usize),
    pub(super) corners: Corners,
}

impl Kernel<1> for Bilinear {
    const NAME: &'static str = "resize_bilinear";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, c, h, w] = x.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        let (height, width) = self.size;
        let (rows, columns) = (taps::<T>(h, height, self.corners), taps::<T>(w, width, self.corners));
        let mut y = vec![T::zero(); n * c * height * width];
        y.par_chunks_mut(height * width)
            .zip(x.values.par_chunks(h * w))
            .with_min_len(GRAIN.div_ceil(height * width))
            .for_each(|(y, x)| {
                for (y, row) in y.chunks_mut(width).zip(&rows) {
                    let (upper, lower) = (&x[row.low * w..][..w], &x[row.high * w..][..w]);
                    for (y, column) in y.iter_mut().zip(&columns) {
                        *y = row.between(column.of(upper), column.of(lower));
                    }
                }
            });
        Ok((y, (n, c, height, width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        let &[_, _, h, w] = x.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        device::bilinear(Sizes { from: (h, w), to: self.size }, self.corners, false, gpu, x)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        let (_, _, h, w) = x.dims4()?;
        Ok([Some(detached1(Gradient { size: (h, w), corners: self.corners }, grad)?)])
    }
}

/// The transposed map, from the gradient to the gradient of the source of this size.
struct Gradient {
    size: (usize, usize),
    corners: Corners,
}

impl Kernel<1> for Gradient {
    const NAME: &'static str = "resize_bilinear gradient";

    fn forward<T: Real>(&self, [grad]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, c, height, width] = grad.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        let (h, w) = self.size;
        let (rows, columns) = (taps::<T>(h, height, self.corners), taps::<T>(w, width, self.corners));
        let mut result = vec![T::zero(); n * c * h * w];
        result
            .par_chunks_mut(h * w)
            .zip(grad.values.par_chunks(height * width))
            .with_min_len(GRAIN.div_ceil(height * width))
            .for_each(|(result, grad)| {
                for (grad, row) in grad.chunks(width).zip(&rows) {
                    for (&grad, column) in grad.iter().zip(&columns) {
                        column.add(&mut result[row.low * w..][..w], grad * row.low_weight);
                        column.add(&mut result[row.high * w..][..w], grad * row.high_weight);
                    }
                }
            });
        Ok((result, (n, c, h, w).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        let &[_, _, height, width] = grad.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        device::bilinear(Sizes { from: self.size, to: (height, width) }, self.corners, true, gpu, grad)
    }
}

/// The two source positions of an output position, along one axis.
#[derive(Clone, Copy)]
pub(in crate::ops) struct Taps<T> {
    pub(in crate::ops) low: usize,
    pub(in crate::ops) high: usize,
    pub(in crate::ops) low_weight: T,
    pub(in crate::ops) high_weight: T,
}

impl<T: Real> Taps<T> {
    pub(in crate::ops) fn between(&self, low: T, high: T) -> T {
        self.low_weight * low + self.high_weight * high
    }

    pub(in crate::ops) fn of(&self, line: &[T]) -> T {
        self.between(line[self.low], line[self.high])
    }

    pub(in crate::ops) fn add(&self, line: &mut [T], value: T) {
        line[self.low] += value * self.low_weight;
        line[self.high] += value * self.high_weight;
    }
}

/// From an output position with aligned corners to the next, in the source.
pub(in crate::ops) fn step(input: usize, output: usize) -> f64 {
    if output > 1 { (input - 1) as f64 / (output - 1) as f64 } else { 0.0 }
}

/// Positions are computed in float64 whatever the type of the map, in the order of PyTorch's operations.
pub(in crate::ops) fn taps<T: Real>(input: usize, output: usize, corners: Corners) -> Vec<Taps<T>> {
    let position = |i: usize| match corners {
        Corners::Aligned => step(input, output) * i as f64,
        Corners::HalfPixel => (input as f64 / output as f64 * (i as f64 + 0.5) - 0.5).max(0.0),
    };
    let tap = |i: usize| {
        let position = position(i);
        let low = (position as usize).min(input - 1);
        let high_weight = (position - low as f64).min(1.0);
        Taps {
            low,
            high: (low + 1).min(input - 1),
            low_weight: T::from_f64(1.0 - high_weight),
            high_weight: T::from_f64(high_weight),
        }
    };
    (0..output).map(tap).collect()
}
