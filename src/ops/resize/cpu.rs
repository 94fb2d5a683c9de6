//! CPU code of the bilinear interpolation: plane by plane.
//!
//! Deterministic: one thread per plane, contributions to a source pixel added in the order of the output pixels.

use candle_core::{Result, Shape, Tensor};

use super::Corners;
use super::device::{self, Sizes};
use super::plane::Resizing;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled_with;
use crate::ops::kernel::{Array, Kernel, Real, detached1};

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
        let resizing = Resizing::new((h, w), self.size, self.corners);
        let area = height * width;
        let y = filled_with(n * c * area, area, Vec::new, |room, plane, y| {
            resizing.plane(&x.values[plane * h * w..][..h * w], room, y);
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
        let resizing = Resizing::new(self.size, (height, width), self.corners);
        let area = height * width;
        let result = filled_with(n * c * h * w, h * w, Vec::new, |room, plane, result| {
            resizing.gradient(&grad.values[plane * area..][..area], room, result);
        });
        Ok((result, (n, c, h, w).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        let &[_, _, height, width] = grad.dims else { candle_core::bail!("{}: expected 4 axes", Self::NAME) };
        device::bilinear(Sizes { from: self.size, to: (height, width) }, self.corners, true, gpu, grad)
    }
}
