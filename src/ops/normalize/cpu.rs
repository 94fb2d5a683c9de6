//! CPU code of the normalisations: a plane at a time.

use candle_core::{Result, Shape, Tensor};

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::enlarged::{dot, extrema, total};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Kernel, Real, detached2};

pub(super) struct MaxNorm {
    pub(super) epsilon: f64,
}

impl Kernel<1> for MaxNorm {
    const NAME: &'static str = "max_norm";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        Ok((each_plane(x, self.epsilon, |x, least, epsilon| above_least(x, least, epsilon)), x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::launch("max_norm", self.epsilon, gpu, &inputs)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached2(Gradient(self.epsilon), x, grad)?)])
    }
}

pub(super) struct MinMaxNorm {
    pub(super) epsilon: f64,
}

impl Kernel<1> for MinMaxNorm {
    const NAME: &'static str = "min_max_norm";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        Ok((each_plane(x, self.epsilon, |x, least, epsilon| kept_above_least(x, least, epsilon)), x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::launch("min_max_norm", self.epsilon, gpu, &inputs)
    }
}

/// `f(x, m, ε) / (M - m + ε)`
fn each_plane<T: Real>(x: Array<'_, T>, epsilon: f64, f: impl Fn(T, T, T) -> T + Send + Sync) -> Vec<T> {
    let pixels = plane_len(x);
    let epsilon = T::from_f64(epsilon);
    filled(x.values.len(), pixels, |i, result| {
        let plane = &x.values[i * pixels..][..pixels];
        let (most, least) = rectified_extrema(plane);
        let span = (most - least) + epsilon;
        for (result, &x) in result.iter_mut().zip(plane) {
            *result = f(x, least, epsilon) / span;
        }
    })
}

/// By the definition: with `a` for what is above `m + ε`, `g / s` where `a > 0`, and at the extrema the sums of what the
/// other pixels owe them.
struct Gradient(f64);

impl Kernel<2> for Gradient {
    const NAME: &'static str = "max_norm gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let pixels = plane_len(x);
        let (zero, epsilon) = (T::zero(), T::from_f64(self.0));
        let result = filled(x.values.len(), pixels, |i, result| {
            let (plane, grad) = (&x.values[i * pixels..][..pixels], &grad.values[i * pixels..][..pixels]);
            let (most, least) = rectified_extrema(plane);
            let span = (most - least) + epsilon;
            let mut above = vec![zero; pixels];
            for (((result, above), &x), &grad) in result.iter_mut().zip(&mut above).zip(plane).zip(grad) {
                *above = above_least(x, least, epsilon);
                *result = if *above > zero { grad / span } else { zero };
            }
            let active = total(result, |part| part);
            let along = dot(result, &above) / span;
            let first = |value: T| plane.iter().position(|x| *x == value && value > zero);
            if let Some(at) = first(most) {
                result[at] -= along;
            }
            if let Some(at) = first(least) {
                result[at] += along - active;
            }
        });
        Ok((result, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::launch("max_norm_gradient", self.0, gpu, &inputs)
    }
}

fn plane_len<T>(x: Array<'_, T>) -> usize {
    x.dims.iter().skip(2).product()
}

/// Largest and smallest value of `relu` of a plane.
fn rectified_extrema<T: Real>(plane: &[T]) -> (T, T) {
    let (most, least) = extrema(plane);
    (rectified(most), rectified(least))
}

/// Comparisons are written so that NaN passes through.
pub(in crate::ops) fn rectified<T: Real>(x: T) -> T {
    if x < T::zero() { T::zero() } else { x }
}

/// `relu(relu(x) - m - ε)`
pub(in crate::ops) fn above_least<T: Real>(x: T, least: T, epsilon: T) -> T {
    rectified((rectified(x) - least) - epsilon)
}

/// `r - (m + ε)`, where `r = relu(x)`, but 0 where it is below `m + ε`.
pub(in crate::ops) fn kept_above_least<T: Real>(x: T, least: T, epsilon: T) -> T {
    let threshold = least + epsilon;
    let x = rectified(x);
    (if x >= threshold { x } else { T::zero() }) - threshold
}
