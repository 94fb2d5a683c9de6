//! Two-dimensional convolution.

mod cpu;
mod device;
mod geometry;

use candle_core::Tensor;

use self::cpu::Convolution;
pub(super) use self::device::run_directly;
use self::geometry::Geometry;
use super::kernel::apply2;
use crate::error::Result;

/// The geometry of a convolution, equal along both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dSpec {
    /// Input pixels from one output position to the next, at least 1.
    pub stride: usize,
    /// Zeros put around the input.
    pub padding: usize,
    /// Input pixels from one weight to the next, at least 1.
    pub dilation: usize,
    /// Independent parts that the channels are divided into, at least 1.
    pub groups: usize,
}

impl Default for Conv2dSpec {
    fn default() -> Self {
        Self { stride: 1, padding: 0, dilation: 1, groups: 1 }
    }
}

/// Convolution (cross-correlation) without bias. PyTorch: `F.conv2d(x, weight, None, stride, padding, dilation, groups)`.
///
/// candle's own has a gradient that fails for a stride of 2 where height and width differ in parity, computes the
/// gradients of frozen inputs too, and is several times slower. Here an input with `track_op() == false` gets none.
///
/// # Shapes
/// `(N, C, h, w)` and `(K, C / groups, kh, kw)` to `(N, K, H, W)` with `H = (h + 2 padding - dilation (kh - 1) - 1) /
/// stride + 1`, rounded down.
///
/// # Errors
/// When the shapes do not fit each other or `spec`, a map is smaller than the kernel, or the tensors are not both float32
/// or both float64.
pub fn conv2d(x: &Tensor, weight: &Tensor, spec: Conv2dSpec) -> Result<Tensor> {
    Geometry::new(x.dims(), weight.dims(), spec)?;
    Ok(apply2(Convolution(spec), x, weight)?)
}
