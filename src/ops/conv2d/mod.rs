//! Two-dimensional convolution.

mod activated;
mod around;
mod cpu;
mod device;
mod geometry;
mod gradient;
mod plan;
mod product;
mod tiles;
mod weight;

use candle_core::Tensor;

use self::activated::Activated;
use self::cpu::Convolution;
pub(super) use self::device::run_directly;
use self::geometry::Geometry;
use super::affine_relu;
use super::device::emulator;
use super::kernel::{apply2, apply3};
use crate::error::{Error, Result, expect_shape};

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

/// `conv2d(max(x scale + shift, 0), weight)`, and `added` to it if there is such: a frozen batch normalisation, the
/// convolution behind it and the sum of a residual block at once.
///
/// Equal to [`affine_relu`], [`conv2d`] and an addition, which it is made of on a device and where scale or shift need a
/// gradient. On the CPU otherwise one pass, and of the parts nothing is kept for the way back but `x`: neither the
/// rectified map nor the sum's terms. A scale of 0 for an image's channel drops it: channel dropout costs nothing.
///
/// # Shapes
/// As [`conv2d`]; scale and shift `(C)` or, one for each image, `(N, C)`; `added` as the result.
///
/// # Errors
/// As [`affine_relu`] and [`conv2d`].
pub fn affine_relu_conv2d(
    x: &Tensor,
    [scale, shift]: [&Tensor; 2],
    weight: &Tensor,
    spec: Conv2dSpec,
    added: Option<&Tensor>,
) -> Result<Tensor> {
    let geometry = Geometry::new(x.dims(), weight.dims(), spec)?;
    let (images, channels) = (geometry.images, geometry.groups * geometry.inputs);
    let each = [("scale", scale), ("shift", shift)].map(|(name, tensor)| {
        if tensor.dims() != [images, channels] {
            expect_shape(&format!("affine_relu_conv2d {name}"), tensor, [channels.into()])?;
        }
        Ok::<_, Error>(tensor.broadcast_as((images, channels))?.contiguous()?)
    });
    let [scale_each, shift_each] = each;
    let (scale_each, shift_each) = (scale_each?, shift_each?);
    if let Some(added) = added {
        let (images, channels, height, width) = geometry.result_dims();
        expect_shape("affine_relu_conv2d added", added, [images.into(), channels.into(), height.into(), width.into()])?;
    }
    if !x.device().is_cpu() || emulator().is_some() || scale.track_op() || shift.track_op() {
        let activated = match scale.rank() {
            1 if shift.rank() == 1 => affine_relu(x, scale, shift)?,
            _ => {
                // Channels of images are as good as channels of one image.
                let (_, _, height, width) = x.dims4()?;
                let together = x.reshape((1, images * channels, height, width))?;
                let [scale, shift] = [scale_each.flatten_all()?, shift_each.flatten_all()?];
                affine_relu(&together, &scale, &shift)?.reshape(x.dims())?
            }
        };
        let y = conv2d(&activated, weight, spec)?;
        return Ok(match added {
            Some(added) => (y + added)?,
            None => y,
        });
    }
    let kernel = Activated { spec, scale: scale_each.detach(), shift: shift_each.detach() };
    Ok(match added {
        Some(added) => apply3(kernel, x, weight, added)?,
        None => apply2(kernel, x, weight)?,
    })
}
