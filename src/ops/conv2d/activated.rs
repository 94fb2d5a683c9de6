//! The convolution of a rectified scale and shift, and what is added to it: one pass, and nothing kept but its inputs.

use candle_core::{Result, Shape, Tensor};

use super::Conv2dSpec;
use super::around::{Before, Finish};
use super::cpu::{forward, input_gradient};
use super::geometry::Geometry;
use super::gradient::weight_gradient;
use crate::ops::kernel::{Array, Kernel, Real, detached2, detached3, values_as};

/// `conv2d(max(x scale + shift, 0), weight)`, or that and a third input.
#[derive(Clone)]
pub(super) struct Activated {
    pub(super) spec: Conv2dSpec,
    /// One for each image and channel, contiguous; no gradient.
    pub(super) scale: Tensor,
    pub(super) shift: Tensor,
}

impl Activated {
    fn forward_with<T: Real>(
        &self,
        x: Array<'_, T>,
        weight: Array<'_, T>,
        finish: Finish<'_, T>,
    ) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, weight.dims, self.spec)?;
        let (scale, shift) = (values_as::<T>(&self.scale)?, values_as::<T>(&self.shift)?);
        let before = Before { scale: &scale, shift: &shift };
        let y = forward(&geometry, x.values, weight.values, Some(before), finish);
        Ok((y, geometry.result_dims().into()))
    }

    fn gradients(&self, x: &Tensor, weight: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let of_input = || detached3(InputGradient(self.clone()), grad, weight, x);
        let of_weight = || detached2(WeightGradient { of: self.clone(), dims: weight.dims().to_vec() }, x, grad);
        Ok([x.track_op().then(of_input).transpose()?, weight.track_op().then(of_weight).transpose()?])
    }
}

impl Kernel<2> for Activated {
    const NAME: &'static str = "affine_relu_conv2d";

    fn forward<T: Real>(&self, [x, weight]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        self.forward_with(x, weight, Finish::Keep)
    }

    fn backward(&self, [x, weight]: [&Tensor; 2], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 2]> {
        self.gradients(x, weight, grad)
    }
}

impl Kernel<3> for Activated {
    const NAME: &'static str = "affine_relu_conv2d, added";

    fn forward<T: Real>(&self, [x, weight, added]: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        self.forward_with(x, weight, Finish::Add(added.values))
    }

    fn backward(&self, [x, weight, added]: [&Tensor; 3], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 3]> {
        let [of_x, of_weight] = self.gradients(x, weight, grad)?;
        Ok([of_x, of_weight, added.track_op().then(|| grad.clone())])
    }
}

struct InputGradient(Activated);

impl Kernel<3> for InputGradient {
    const NAME: &'static str = "affine_relu_conv2d input gradient";

    fn forward<T: Real>(&self, [grad, weight, x]: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, weight.dims, self.0.spec)?;
        let (scale, shift) = (values_as::<T>(&self.0.scale)?, values_as::<T>(&self.0.shift)?);
        let finish = Finish::Gate { values: x.values, before: Before { scale: &scale, shift: &shift } };
        Ok((input_gradient(&geometry, grad.values, weight.values, finish), x.dims.into()))
    }
}

struct WeightGradient {
    of: Activated,
    /// Shape of the weight.
    dims: Vec<usize>,
}

impl Kernel<2> for WeightGradient {
    const NAME: &'static str = "affine_relu_conv2d weight gradient";

    fn forward<T: Real>(&self, [x, grad]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let geometry = Geometry::new(x.dims, &self.dims, self.of.spec)?;
        let (scale, shift) = (values_as::<T>(&self.of.scale)?, values_as::<T>(&self.of.shift)?);
        let before = Before { scale: &scale, shift: &shift };
        Ok((weight_gradient(&geometry, x.values, grad.values, Some(before)), self.dims.as_slice().into()))
    }
}
