//! The same out of candle's operations.

use candle_core::{DType, Tensor};

use super::{MemoryContrastSpec, NORMALIZE_EPSILON, check};
use crate::error::Result;
use crate::ops::{clamp, max_keepdim, unit};

/// Far below any logit, and finite.
fn excluded(dtype: DType) -> f64 {
    if dtype == DType::F16 { -6e4 } else { -1e30 }
}

/// [`memory_contrast`](super::memory_contrast) through a matrix of all queries by all rows.
///
/// # Errors
/// As there.
pub fn memory_contrast_composed(
    queries: &Tensor,
    bank: &Tensor,
    filled: &[u32],
    classes: &[[usize; 2]],
    spec: &MemoryContrastSpec,
) -> Result<Tensor> {
    check(queries, bank, filled, classes, spec)?;
    if classes.is_empty() {
        return Ok(Tensor::zeros((0, 2), queries.dtype(), queries.device())?);
    }
    let logits = Logits::new(queries, &bank.to_dtype(queries.dtype())?, filled, spec)?;
    let own = logits.contrast(classes.iter().map(|pair| pair[0]), spec.clamp_min)?;
    let partner = logits.contrast(classes.iter().map(|pair| pair[1]), spec.clamp_min)?;
    Ok(Tensor::stack(&[own, partner], 1)?)
}

/// Logits of the queries against all rows.
struct Logits {
    /// `(queries * classes, length)`: logits less the largest of their query.
    logits: Tensor,
    /// `(queries, classes)`: sums of exponentials over the rows of a class.
    sums: Tensor,
    /// `(classes, length)`: weights of a mean over the written rows.
    weights: Tensor,
}

impl Logits {
    fn new(queries: &Tensor, bank: &Tensor, filled: &[u32], spec: &MemoryContrastSpec) -> Result<Self> {
        let (classes, length, dim) = bank.dims3()?;
        let (pairs, dtype, device) = (queries.dim(0)?, queries.dtype(), queries.device());
        let rows = unit(&bank.detach().reshape(((), dim))?, 1, NORMALIZE_EPSILON)?;
        let logits = (unit(queries, 1, NORMALIZE_EPSILON)?.matmul(&rows.t()?)? / spec.temperature)?;
        let of_class = |filled: &u32| -> Vec<u8> { (0..length as u32).map(|row| u8::from(row < *filled)).collect() };
        let written: Vec<u8> = filled.iter().flat_map(of_class).collect();
        let written = Tensor::from_vec(written, (classes, length), device)?;
        let logits = if filled.iter().all(|filled| *filled as usize == length) {
            logits
        } else {
            let written = written.reshape((1, classes * length))?.broadcast_as(logits.shape())?;
            written.where_cond(&logits, &Tensor::full(excluded(dtype), logits.shape(), device)?.to_dtype(dtype)?)?
        };
        let logits = logits.broadcast_sub(&max_keepdim(&logits.detach(), 1)?)?;
        let sums = logits.exp()?.reshape((pairs, classes, length))?.sum(2)?;
        let counts = filled.iter().map(|filled| f64::from(*filled).max(1.0)).collect::<Vec<f64>>();
        let counts = Tensor::from_vec(counts, (classes, 1), device)?.to_dtype(dtype)?;
        let weights = written.to_dtype(dtype)?.broadcast_div(&counts)?;
        Ok(Self { logits: logits.reshape((pairs * classes, length))?, sums, weights })
    }

    // `X(z, k)` of every query, `k` being its entry of `of`.
    fn contrast(&self, of: impl Iterator<Item = usize>, clamp_min: f64) -> Result<Tensor> {
        let (pairs, classes) = self.sums.dims2()?;
        let (dtype, device) = (self.sums.dtype(), self.sums.device());
        let of: Vec<u32> = of.map(|class| class as u32).collect();
        let rows: Vec<u32> = of.iter().enumerate().map(|(pair, class)| (pair * classes) as u32 + class).collect();
        let mut others = vec![1f64; pairs * classes];
        for &row in &rows {
            others[row as usize] = 0.0;
        }
        let others = Tensor::from_vec(others, (pairs, classes), device)?.to_dtype(dtype)?;
        // Summed without the own class rather than subtracted from the whole: no digits are lost.
        let negatives = (&self.sums * others)?.sum_keepdim(1)?;
        let positives = self.logits.index_select(&Tensor::from_vec(rows, pairs, device)?, 0)?; // (pairs, length)
        let weights = self.weights.index_select(&Tensor::from_vec(of, pairs, device)?, 0)?;
        let sums = clamp(&positives.exp()?.broadcast_add(&negatives)?, clamp_min, f64::INFINITY)?;
        Ok(((sums.log()? - positives)? * weights)?.sum(1)?)
    }
}
