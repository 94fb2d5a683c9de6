//! Maps at another size.

mod cpu;
mod device;
mod nearest;
mod plane;

use candle_core::Tensor;

use self::cpu::Bilinear;
use self::device::Sizes;
use self::nearest::Nearest;
pub(super) use self::plane::{Resizing, Taps, step, taps};
use super::kernel::apply1;
use crate::error::{Error, Result, expect_shape};

/// Where the grids of two sizes meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Corners {
    /// The centres of the corner pixels coincide: position `i (in-1)/(out-1)`. PyTorch: `align_corners=True`.
    Aligned,
    /// The outer edges of the corner pixels coincide: position `max((i+1/2) in/out - 1/2, 0)`.
    /// PyTorch: `align_corners=False`.
    HalfPixel,
}

/// Bilinear interpolation to `size = (height, width)`.
/// PyTorch: `F.interpolate(x, size, mode="bilinear", align_corners=..)`, without antialiasing.
///
/// # Shapes
/// `(N, C, h, w)` to `(N, C, height, width)`.
///
/// # Errors
/// When `x` is of another shape, a size is 0, or `x` is not of floating point numbers.
pub fn resize_bilinear(x: &Tensor, size: (usize, usize), corners: Corners) -> Result<Tensor> {
    check("resize_bilinear", x, size)?;
    Ok(apply1(Bilinear { size, corners }, x)?)
}

/// The pixel at `floor(i in/out)`. PyTorch: `F.interpolate(x, size, mode="nearest")`.
///
/// # Shapes
/// `(N, C, h, w)` to `(N, C, height, width)`.
///
/// # Errors
/// When `x` is of another shape or a size is 0.
pub fn resize_nearest(x: &Tensor, (height, width): (usize, usize)) -> Result<Tensor> {
    check("resize_nearest", x, (height, width))?;
    let (_, _, h, w) = x.dims4()?;
    if x.dtype().is_float() {
        return Ok(apply1(Nearest(Sizes { from: (h, w), to: (height, width) }), x)?);
    }
    let sources = |input: usize, output: usize| {
        let positions: Vec<u32> = (0..output).map(|i| (i * input / output) as u32).collect();
        Tensor::new(positions, x.device())
    };
    Ok(x.contiguous()?.index_select(&sources(h, height)?, 2)?.index_select(&sources(w, width)?, 3)?)
}

fn check(what: &str, x: &Tensor, (height, width): (usize, usize)) -> Result<()> {
    expect_shape(what, x, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let (_, _, h, w) = x.dims4()?;
    if [h, w, height, width].contains(&0) {
        return Err(Error::value(what, format!("expected sizes above 0, got {h}x{w} to {height}x{width}")));
    }
    Ok(())
}
