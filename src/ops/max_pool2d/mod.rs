//! Largest element of each window.

mod cpu;
mod device;

use candle_core::Tensor;

use self::cpu::{Geometry, MaxPool};
use super::kernel::apply1;
use crate::error::Result;

/// The windows of a max pool, equal along both axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxPool2dSpec {
    /// Height and width of a window, at least 1.
    pub kernel: usize,
    /// Pixels from one window to the next, at least 1.
    pub stride: usize,
    /// Pixels of minus infinity put around the input, at most half the kernel.
    pub padding: usize,
}

/// Largest element of each window; the whole gradient goes to the first of equal elements, row by row.
/// PyTorch: `F.max_pool2d(x, kernel, stride, padding)`.
///
/// candle's own divides the gradient by the window's size and takes no stride but the kernel. NaN counts as larger than
/// everything.
///
/// # Shapes
/// `(N, C, h, w)` to `(N, C, H, W)` with `H = (h + 2 padding - kernel) / stride + 1`, rounded down.
///
/// # Errors
/// When `x` is of another shape or smaller than a window, when `spec` is out of its ranges, or `x` is not
/// of floating point numbers.
pub fn max_pool2d(x: &Tensor, spec: MaxPool2dSpec) -> Result<Tensor> {
    Geometry::new(x.dims(), spec)?;
    Ok(apply1(MaxPool(spec), x)?)
}
