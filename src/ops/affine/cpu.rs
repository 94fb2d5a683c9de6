//! CPU code of the channelwise scale and shift.
//!
//! Deterministic: one thread per plane, sums of a channel over images and pixels in their order, in float64.

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Axis, Kernel, Real, detached3};

#[derive(Clone, Copy)]
pub(super) struct Affine {
    /// Whether negative results become 0.
    pub(super) relu: bool,
}

impl Kernel<3> for Affine {
    const NAME: &'static str = "affine";

    fn forward<T: Real>(&self, [x, scale, shift]: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let Axis { len: channels, inner: plane, .. } = Axis::of(x.dims, 1);
        let y = filled(x.values.len(), plane, |i, y| {
            let (scale, shift) = (scale.values[i % channels], shift.values[i % channels]);
            let x = &x.values[i * plane..][..plane];
            // The test is outside of the loop so that the compiler can vectorise it; NaN passes.
            if self.relu {
                for (y, &x) in y.iter_mut().zip(x) {
                    let value = x * scale + shift;
                    *y = if value < T::zero() { T::zero() } else { value };
                }
            } else {
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x * scale + shift;
                }
            }
        });
        Ok((y, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
        device::forward(*self, gpu, inputs)
    }

    fn backward(&self, [x, scale, shift]: [&Tensor; 3], y: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let of_x = || detached3(InputGradient(*self), y, scale, grad);
        let of_x = x.track_op().then(of_x).transpose()?;
        if !scale.track_op() && !shift.track_op() {
            return Ok([of_x, None, None]);
        }
        let sums = detached3(ParameterGradient(*self), x, y, grad)?;
        let of_scale = scale.track_op().then(|| sums.get(0)).transpose()?;
        let of_shift = shift.track_op().then(|| sums.get(1)).transpose()?;
        Ok([of_x, of_scale, of_shift])
    }
}

/// From the result rather than the input: its sign tells where the gradient passes.
struct InputGradient(Affine);

impl Kernel<3> for InputGradient {
    const NAME: &'static str = "affine input gradient";

    fn forward<T: Real>(&self, [y, scale, grad]: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let Axis { len: channels, inner: plane, .. } = Axis::of(y.dims, 1);
        let result = filled(y.values.len(), plane, |i, result| {
            let scale = scale.values[i % channels];
            let (y, grad) = (&y.values[i * plane..][..plane], &grad.values[i * plane..][..plane]);
            if self.0.relu {
                for ((result, &y), &grad) in result.iter_mut().zip(y).zip(grad) {
                    *result = if y <= T::zero() { T::zero() } else { grad * scale };
                }
            } else {
                for (result, &grad) in result.iter_mut().zip(grad) {
                    *result = grad * scale;
                }
            }
        });
        Ok((result, y.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
        device::input_gradient(self.0, gpu, inputs)
    }
}

/// Gradients of scale and shift, as the two rows of one matrix.
struct ParameterGradient(Affine);

impl Kernel<3> for ParameterGradient {
    const NAME: &'static str = "affine parameter gradient";

    fn forward<T: Real>(&self, [x, y, grad]: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let Axis { outer: images, len: channels, inner: plane } = Axis::of(x.dims, 1);
        let channel = |channel: usize| {
            let (mut scale, mut shift) = (0f64, 0f64);
            for start in (0..images).map(|image| (image * channels + channel) * plane) {
                let (x, y) = (&x.values[start..][..plane], &y.values[start..][..plane]);
                for ((&x, &y), &grad) in x.iter().zip(y).zip(&grad.values[start..]) {
                    let stopped = self.0.relu && y <= T::zero();
                    let grad = if stopped { 0.0 } else { grad.to_f64() };
                    scale += grad * x.to_f64();
                    shift += grad;
                }
            }
            (T::from_f64(scale), T::from_f64(shift))
        };
        let (mut scales, shifts): (Vec<T>, Vec<T>) = (0..channels).into_par_iter().map(channel).unzip();
        scales.extend(shifts);
        Ok((scales, (2, channels).into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
        device::parameter_gradient(self.0, gpu, inputs)
    }
}
