//! Averages of maps over the pixels that look alike.

mod cpu;

use candle_core::Tensor;

use self::cpu::AffinityMean;
use super::kernel::detached2;
use crate::error::{Error, Result, expect_shape};

/// Every map averaged over all pixels, weighed by how alike they are to each. No gradient.
///
/// ```text
/// A_ij  = [z_i · z_j]+
/// out_j = Σ_i maps_i A_ij / (Σ_i A_ij + ε)
/// ```
///
/// The matrix `A` of a map of 250 x 250 cells has 15.6 GB. Here a part of it that fits into a thread's cache is made,
/// used up and forgotten, so memory grows with the pixels and not with their square. PyTorch:
/// `a = relu(z.transpose(1, 2) @ z); maps @ (a / (a.sum(1, keepdim=True) + eps))`.
///
/// # Shapes
/// `maps (N, c, P)`, `unit (N, d, P)`, the `z` of length one (or zero) along `d`; result `(N, c, P)`.
///
/// # Errors
/// When the shapes do not fit, `epsilon` is not a positive number, or the tensors are not both float32 or both float64.
pub fn affinity_mean(maps: &Tensor, unit: &Tensor, epsilon: f64) -> Result<Tensor> {
    expect_shape("maps of affinity_mean", maps, ["N".into(), "c".into(), "P".into()])?;
    let (n, _, pixels) = maps.dims3()?;
    expect_shape("features of affinity_mean", unit, [n.into(), "d".into(), pixels.into()])?;
    if epsilon > 0.0 && epsilon.is_finite() {
        return Ok(detached2(AffinityMean { epsilon }, maps, unit)?);
    }
    Err(Error::value("epsilon of affinity_mean", format!("expected a positive number, got {epsilon}")))
}
