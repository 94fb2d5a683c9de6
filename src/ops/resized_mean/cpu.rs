//! CPU code of the means over enlarged maps: a weighted mean of each plane.

use candle_core::{Result, Shape, Tensor, bail};

use super::device;
use crate::ops::Corners;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::enlarged::dot;
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Kernel, Real, detached1};
use crate::ops::resize::taps;

#[derive(Clone, Copy)]
pub(super) struct ResizedMean {
    pub(super) size: (usize, usize),
}

impl Kernel<1> for ResizedMean {
    const NAME: &'static str = "resized_mean";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, c, h, w] = x.dims else { bail!("{}: expected 4 axes", Self::NAME) };
        let (rows, columns) = (shares::<T>(h, self.size.0), shares::<T>(w, self.size.1));
        let plane = |plane: &[T]| {
            let rows = plane.chunks_exact(w).zip(&rows);
            rows.fold(T::zero(), |sum, (row, &share)| sum + share * dot(row, &columns))
        };
        Ok((x.values.chunks_exact(h * w).map(plane).collect(), (n, c).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::forward(self, gpu, x)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        let (_, _, h, w) = x.dims4()?;
        Ok([Some(detached1(Gradient { size: self.size, source: (h, w) }, grad)?)])
    }
}

pub(super) struct Gradient {
    pub(super) size: (usize, usize),
    pub(super) source: (usize, usize),
}

impl Kernel<1> for Gradient {
    const NAME: &'static str = "resized_mean gradient";

    fn forward<T: Real>(&self, [grad]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, c] = grad.dims else { bail!("{}: expected 2 axes", Self::NAME) };
        let (h, w) = self.source;
        let (rows, columns) = (shares::<T>(h, self.size.0), shares::<T>(w, self.size.1));
        let result = filled(n * c * h * w, h * w, |i, result| {
            for (result, &row) in result.chunks_exact_mut(w).zip(&rows) {
                for (result, &column) in result.iter_mut().zip(&columns) {
                    *result = grad.values[i] * (row * column);
                }
            }
        });
        Ok((result, (n, c, h, w).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::gradient(self, gpu, grad)
    }
}

/// How much of the enlarged axis each position of the axis makes.
fn shares<T: Real>(input: usize, output: usize) -> Vec<T> {
    let mut shares = vec![0.0; input];
    for tap in taps::<f64>(input, output, Corners::Aligned) {
        shares[tap.low] += tap.low_weight / output as f64;
        shares[tap.high] += tap.high_weight / output as f64;
    }
    shares.into_iter().map(T::from_f64).collect()
}
