//! Operations: values against loops written down naively, gradients against differences and against PyTorch's rules.

#![allow(clippy::unwrap_used, reason = "tests: a failure here is the message")]

mod activated;
mod affine;
mod affinity;
mod conv2d;
mod depthwise;
mod extremum;
mod max_pool2d;
mod memory_contrast;
mod normalize;
mod pointwise;
pub(crate) mod prototype_contrast;
mod region_mean;
mod resize;
mod resized_mean;
mod seeds;
mod sgd;
mod top_k;
mod top_prototype;
mod unit;

use candle_core::{DType, Device, Tensor, Var};

pub(crate) fn tensor(values: &[f64], dims: &[usize]) -> Tensor {
    Tensor::from_vec(values.to_vec(), dims, &Device::Cpu).unwrap()
}

pub(crate) fn values(x: &Tensor) -> Vec<f64> {
    x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Gradient at `x` of the sum of `f`, weighted by 1, 2, 3, ..
pub(crate) fn gradient(x: &Tensor, f: impl Fn(&Tensor) -> candle_wsss::Result<Tensor>) -> Vec<f64> {
    let x = Var::from_tensor(x).unwrap();
    let y = f(x.as_tensor()).unwrap();
    let grads = (&y * ramp(y.dims()).to_dtype(y.dtype()).unwrap()).unwrap().sum_all().unwrap().backward().unwrap();
    values(grads.get(&x).expect("a gradient"))
}

/// 1, 2, 3, .. in that shape.
pub(crate) fn ramp(dims: &[usize]) -> Tensor {
    let len: usize = dims.iter().product();
    tensor(&(1..=len).map(|i| i as f64).collect::<Vec<_>>(), dims)
}
