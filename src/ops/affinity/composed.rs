//! The averages out of candle's operations.

use candle_core::Tensor;

use crate::error::Result;
use crate::ops::relu;

/// [`affinity_mean`](super::affinity_mean) with the whole matrix: what it is compared with, value and gradient.
///
/// The matrix and its gradient have `P²` entries an image. The divisors ride along as one more map of ones, so the matrix
/// is read once and never normalised.
///
/// # Shapes
/// As there.
///
/// # Errors
/// When the shapes do not fit.
pub fn affinity_mean_composed(maps: &Tensor, unit: &Tensor, epsilon: f64) -> Result<Tensor> {
    let (n, classes, pixels) = maps.dims3()?;
    // Contiguous, because candle's batched product of a transposed matrix is not to be trusted.
    let affinity = relu(&unit.transpose(1, 2)?.contiguous()?.matmul(&unit.contiguous()?)?)?;
    let ones = Tensor::ones((n, 1, pixels), maps.dtype(), maps.device())?;
    let spread = Tensor::cat(&[maps, &ones], 1)?.matmul(&affinity)?; // (N, c + 1, P)
    let sums = (spread.narrow(1, classes, 1)? + epsilon)?;
    Ok(spread.narrow(1, 0, classes)?.broadcast_div(&sums)?)
}
