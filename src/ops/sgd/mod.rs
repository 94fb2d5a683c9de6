//! The step of stochastic gradient descent, in place.

mod cpu;
mod device;
mod norm;
mod step;

use candle_core::{DType, Tensor, Var};

use self::norm::{Scale, Squares, parts};
use self::step::{Apart, Step};
use crate::error::{Error, Result};

/// The numbers of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub rate: f64,
    /// Part of the parameter that is added to its gradient; 0 for none.
    pub weight_decay: f64,
    /// Part of the velocity that stays.
    pub momentum: f64,
}

/// Moves a parameter against its gradient, in one pass and without memory of its own:
/// `v = scale g + weight_decay w + momentum v`, `w = w - rate v`. PyTorch: `torch.optim.SGD` with `dampening=0`.
///
/// Without a velocity the momentum plays no part. `scale` is a factor on the gradient that stays on the device
/// ([`gradient_scale`]), 1 if there is none. Sums are in float32 for float16 and bfloat16.
///
/// Everything that shares memory with the parameter or the velocity changes with it, as after [`Var::set`]: a graph that
/// was built with the parameter must have been differentiated before, and what is to keep the old numbers needs a
/// [`copy`](Tensor::copy).
///
/// # Shapes
/// Parameter, gradient and velocity alike, of one type and contiguous but for the gradient; the scale has one element of
/// float64.
///
/// # Errors
/// When shapes, types or devices differ, or two of the tensors share memory.
pub fn sgd_step(
    parameter: &Var,
    gradient: &Tensor,
    velocity: Option<&Tensor>,
    scale: Option<&Tensor>,
    step: SgdStep,
) -> Result<()> {
    let gradient = gradient.contiguous()?;
    for (what, other) in [("sgd gradient", Some(&gradient)), ("sgd velocity", velocity)] {
        let Some(other) = other else { continue };
        if other.dims() != parameter.dims() {
            let expected = format!("{:?}, the parameter's", parameter.dims());
            return Err(Error::Shape { what: what.to_string(), expected, got: other.dims().to_vec() });
        }
        if other.dtype() != parameter.dtype() {
            let reason = format!("expected {:?}, the parameter's type, got {:?}", parameter.dtype(), other.dtype());
            return Err(Error::value(what, reason));
        }
    }
    if let Some(scale) = scale
        && (scale.elem_count() != 1 || scale.dtype() != DType::F64)
    {
        let reason = format!("expected one number of float64, got {:?} of {:?}", scale.dims(), scale.dtype());
        return Err(Error::value("sgd scale", reason));
    }
    // Or the step would wait for a lock that it holds.
    for (written, read) in [(velocity, Some(parameter.as_tensor())), (velocity, Some(&gradient)), (velocity, scale)] {
        if let (Some(written), Some(read)) = (written, read) {
            written.inplace_op2(read, &Apart)?;
        }
    }
    if let Some(scale) = scale {
        parameter.inplace_op2(scale, &Apart)?;
    }
    Ok(parameter.inplace_op2(&gradient, &Step { velocity, scale, numbers: step })?)
}

/// `min(limit / norm, 1)` for the norm of all the gradients together, as one number that stays on their device: the factor
/// that brings the norm down to `limit`. PyTorch: `torch.nn.utils.clip_grad_norm_`, which adds 1e-6 to the norm.
///
/// Squares are summed in float64. Not a number where a gradient is none.
///
/// # Shapes
/// Any, to `()` of float64.
///
/// # Errors
/// When `limit` is not above 0, there is no gradient, or one is not of floating point numbers.
pub fn gradient_scale(gradients: &[&Tensor], limit: f64) -> Result<Tensor> {
    if !(limit > 0.0 && limit.is_finite()) {
        return Err(Error::value("gradient_scale limit", format!("expected a positive number, got {limit}")));
    }
    let Some(first) = gradients.first() else {
        return Err(Error::value("gradient_scale", "expected at least one gradient"));
    };
    let counts: Vec<usize> = gradients.iter().map(|gradient| parts(gradient.elem_count())).collect();
    let squares = Tensor::zeros(counts.iter().sum::<usize>(), DType::F64, first.device())?;
    let mut start = 0;
    for (gradient, count) in gradients.iter().zip(counts) {
        squares.narrow(0, start, count)?.inplace_op2(&gradient.contiguous()?, &Squares)?;
        start += count;
    }
    let scale = Tensor::zeros((), DType::F64, first.device())?;
    scale.inplace_op2(&squares, &Scale { limit })?;
    Ok(scale)
}
