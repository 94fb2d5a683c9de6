//! Averages of maps over the pixels that look alike.

mod composed;
mod cpu;
mod device;
mod gradient;
mod pairs;

use candle_core::Tensor;

pub use self::composed::affinity_mean_composed;
use self::cpu::AffinityMean;
use super::kernel::apply2;
use crate::error::{Error, Result, expect_shape};

/// Every map averaged over all pixels, weighed by how alike they are to each.
///
/// ```text
/// A_ij  = [z_i · z_j]+
/// out_j = Σ_i maps_i A_ij / (Σ_i A_ij + ε)
/// ```
///
/// The matrix `A` of a map of 112 x 112 cells has 629 MB, and a gradient through it three times that. Here a tile of it
/// that fits into a thread's cache is made, used up and forgotten, in the backward pass once more, so memory grows with
/// the pixels and not with their square. For the gradient the operation keeps its inputs, the result and the divisors,
/// `4 N P (c + 1)` bytes in float32. Gradients go to the features and to the maps, and neither is computed where nothing
/// wants it; where `z_i · z_j` is 0 the positive part has gradient 0. Equals [`affinity_mean_composed`] but for rounding.
/// PyTorch: `a = relu(z.transpose(1, 2) @ z); maps @ (a / (a.sum(1, keepdim=True) + eps))`.
///
/// # Shapes
/// `maps (N, c, P)`, `unit (N, d, P)`, the `z` of length one (or zero) along `d`; result `(N, c, P)`.
///
/// # Errors
/// When the shapes do not fit, `epsilon` is not a positive number, or the tensors are not of one floating point type.
pub fn affinity_mean(maps: &Tensor, unit: &Tensor, epsilon: f64) -> Result<Tensor> {
    expect_shape("maps of affinity_mean", maps, ["N".into(), "c".into(), "P".into()])?;
    let (n, classes, pixels) = maps.dims3()?;
    expect_shape("features of affinity_mean", unit, [n.into(), "d".into(), pixels.into()])?;
    if maps.dtype() != unit.dtype() {
        let reason = format!("expected {:?}, the type of the maps, got {:?}", maps.dtype(), unit.dtype());
        return Err(Error::value("features of affinity_mean", reason));
    }
    if epsilon > 0.0 && epsilon.is_finite() {
        return Ok(apply2(AffinityMean { epsilon }, maps, unit)?.narrow(1, 0, classes)?);
    }
    Err(Error::value("epsilon of affinity_mean", format!("expected a positive number, got {epsilon}")))
}
