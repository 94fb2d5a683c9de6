//! CPU code of the unit vectors.
//!
//! Deterministic: sums run along the axis in order, one thread per index before the axis.

use candle_core::{Result, Shape, Tensor};

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Axis, Kernel, Real, detached2};
use crate::ops::vector;

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Denominator {
    /// `max(norm, eps)`
    AtLeast,
    /// `norm + eps`
    Added,
}

#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub(super) dim: usize,
    pub(super) eps: f64,
    pub(super) denominator: Denominator,
}

impl Unit {
    /// The denominator for a norm.
    fn denominator<T: Real>(&self, norm: T) -> T {
        let eps = T::from_f64(self.eps);
        match self.denominator {
            Denominator::AtLeast if norm < eps => eps,
            Denominator::AtLeast => norm,
            Denominator::Added => norm + eps,
        }
    }

    /// Derivative of the denominator by the norm, over the norm.
    fn slope_over_norm<T: Real>(&self, norm: T) -> T {
        let constant = match self.denominator {
            Denominator::AtLeast => norm < T::from_f64(self.eps),
            Denominator::Added => norm == T::zero(),
        };
        if constant { T::zero() } else { T::one() / norm }
    }
}

impl Kernel<1> for Unit {
    const NAME: &'static str = "unit";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let axis = Axis::of(x.dims, self.dim);
        let block = axis.len * axis.inner;
        if axis.inner == 1 {
            // Vectors lie in one piece each.
            let y = filled(x.values.len(), block, |i, y| {
                let x = &x.values[i * block..][..block];
                let denominator = self.denominator(product(x, x).sqrt());
                for (y, &x) in y.iter_mut().zip(x) {
                    *y = x / denominator;
                }
            });
            return Ok((y, x.dims.into()));
        }
        let y = filled(x.values.len(), block, |i, y| {
            let x = &x.values[i * block..][..block];
            let mut denominator = dot(x, x, axis.inner);
            for value in &mut denominator {
                *value = self.denominator(value.sqrt());
            }
            for (y, x) in y.chunks_mut(axis.inner).zip(x.chunks(axis.inner)) {
                for ((y, &x), &denominator) in y.iter_mut().zip(x).zip(&denominator) {
                    *y = x / denominator;
                }
            }
        });
        Ok((y, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::forward(self, gpu, x)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached2(Gradient(*self), x, grad)?)])
    }
}

/// `g / d - x (x·g) d' / (norm d²)`
struct Gradient(Unit);

impl Kernel<2> for Gradient {
    const NAME: &'static str = "unit gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let axis = Axis::of(x.dims, self.0.dim);
        let block = axis.len * axis.inner;
        if axis.inner == 1 {
            let result = filled(x.values.len(), block, |i, result| {
                let (x, grad) = (&x.values[i * block..][..block], &grad.values[i * block..][..block]);
                let norm = product(x, x).sqrt();
                let denominator = self.0.denominator(norm);
                let along = product(x, grad) / denominator / denominator * self.0.slope_over_norm(norm);
                for ((result, &x), &grad) in result.iter_mut().zip(x).zip(grad) {
                    *result = grad / denominator - x * along;
                }
            });
            return Ok((result, x.dims.into()));
        }
        let result = filled(x.values.len(), block, |i, result| {
            let (x, grad) = (&x.values[i * block..][..block], &grad.values[i * block..][..block]);
            let mut denominator = dot(x, x, axis.inner);
            let mut along = dot(x, grad, axis.inner);
            for (denominator, along) in denominator.iter_mut().zip(&mut along) {
                let norm = denominator.sqrt();
                *denominator = self.0.denominator(norm);
                *along = *along / *denominator / *denominator * self.0.slope_over_norm(norm);
            }
            let rows = result.chunks_mut(axis.inner).zip(x.chunks(axis.inner)).zip(grad.chunks(axis.inner));
            for ((result, x), grad) in rows {
                for (j, result) in result.iter_mut().enumerate() {
                    *result = grad[j] / denominator[j] - x[j] * along[j];
                }
            }
        });
        Ok((result, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::gradient(&self.0, gpu, inputs)
    }
}

/// Vectors shorter than this are not worth laying out in lanes.
const SHORT: usize = 64;

/// The sum of the products of two vectors in one piece.
fn product<T: Real>(a: &[T], b: &[T]) -> T {
    if a.len() >= SHORT {
        return vector::dot(a, b);
    }
    a.iter().zip(b).fold(T::zero(), |sum, (&a, &b)| sum + a * b)
}

/// Sums over the axis of the products, one per index after the axis.
fn dot<T: Real>(a: &[T], b: &[T], inner: usize) -> Vec<T> {
    let mut sum = vec![T::zero(); inner];
    for (a, b) in a.chunks(inner).zip(b.chunks(inner)) {
        for ((sum, &a), &b) in sum.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sum
}
