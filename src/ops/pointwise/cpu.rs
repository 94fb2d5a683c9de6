//! CPU code of the elementwise functions: one pass forward, one pass backward.

use candle_core::{Result, Shape, Tensor};

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::kernel::{Array, Kernel, Real, detached2, map, map2};

#[derive(Clone, Copy)]
pub(super) enum Pointwise {
    Relu,
    Abs,
    Clamp { low: f64, high: f64 },
    Softplus,
}

impl Kernel<1> for Pointwise {
    const NAME: &'static str = "pointwise";

    fn forward<T: Real>(&self, [x]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let zero = T::zero();
        // Comparisons are written so that NaN passes through.
        let values = match *self {
            Self::Relu => map(x.values, |x| if x < zero { zero } else { x }),
            Self::Abs => map(x.values, absolute),
            Self::Clamp { low, high } => {
                let (low, high) = (T::from_f64(low), T::from_f64(high));
                map(x.values, |x| {
                    if x < low {
                        low
                    } else if x > high {
                        high
                    } else {
                        x
                    }
                })
            }
            Self::Softplus => map(x.values, |x| {
                let linear = if x < zero { zero } else { x };
                linear + (-absolute(x)).exp().ln_1p()
            }),
        };
        Ok((values, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, [x]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::forward(*self, gpu, x)
    }

    fn backward(&self, [x]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached2(Gradient(*self), x, grad)?)])
    }
}

struct Gradient(Pointwise);

impl Kernel<2> for Gradient {
    const NAME: &'static str = "pointwise gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let (zero, one) = (T::zero(), T::one());
        let values = match self.0 {
            Pointwise::Relu => map2(x.values, grad.values, |x, g| if x <= zero { zero } else { g }),
            Pointwise::Abs => map2(x.values, grad.values, |x, g| {
                if x > zero {
                    g
                } else if x < zero {
                    -g
                } else {
                    zero
                }
            }),
            Pointwise::Clamp { low, high } => {
                let (low, high) = (T::from_f64(low), T::from_f64(high));
                map2(x.values, grad.values, |x, g| if x >= low && x <= high { g } else { zero })
            }
            Pointwise::Softplus => map2(x.values, grad.values, |x, g| {
                // Of the two forms of the sigmoid, the one whose exponential cannot overflow.
                let e = (-absolute(x)).exp();
                g * if x < zero { e } else { one } / (one + e)
            }),
        };
        Ok((values, x.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::gradient(self.0, gpu, inputs)
    }
}

fn absolute<T: Real>(x: T) -> T {
    // `0 - x` rather than `-x` at 0, so that no negative zero comes out.
    if x < T::zero() {
        -x
    } else if x == T::zero() {
        T::zero()
    } else {
        x
    }
}
