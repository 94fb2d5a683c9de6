//! Depthwise convolution: every channel by itself.

mod cpu;
mod dense;
mod device;

use candle_core::Tensor;

use self::cpu::{Depthwise, Geometry};
use super::kernel::apply2;
use crate::error::Result;

/// The geometry of a depthwise convolution, equal along both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DepthwiseSpec {
    /// Input pixels from one output position to the next, at least 1.
    pub stride: usize,
    /// Zeros put around the input.
    pub padding: usize,
    /// Input pixels from one weight to the next, at least 1.
    pub dilation: usize,
}

impl Default for DepthwiseSpec {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1 }
    }
}

/// Convolution (cross-correlation) of every channel with a kernel of its own, without bias.
/// PyTorch: `F.conv2d(x, weight, None, stride, padding, dilation, groups=C)`.
///
/// [`conv2d`](super::conv2d) with as many groups as channels gives the same, but makes a matrix of patches for every
/// channel to multiply it with one row. An input with `track_op() == false` gets no gradient, and none is computed.
///
/// # Shapes
/// `(N, C, h, w)` and `(C, 1, kh, kw)` to `(N, C, H, W)` with `H = (h + 2 padding - dilation (kh - 1) - 1) / stride + 1`,
/// rounded down.
///
/// # Errors
/// When the shapes do not fit each other or `spec`, a map is smaller than the kernel, or the tensors are not both float32
/// or both float64.
pub fn depthwise_conv2d(x: &Tensor, weight: &Tensor, spec: DepthwiseSpec) -> Result<Tensor> {
    Geometry::new(x.dims(), weight.dims(), spec)?;
    Ok(apply2(Depthwise(spec), x, weight)?)
}
