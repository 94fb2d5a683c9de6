//! Contrast of a few queries with a bank of many rows.

mod composed;
mod cpu;
mod device;

use candle_core::{D, DType, Tensor};

pub use self::composed::memory_contrast_composed;
use self::cpu::MemoryContrast;
use super::kernel::apply1;
use crate::error::{Error, Result, expect_shape};

/// Below it the length of a query or row is a constant. `F.normalize`'s.
const NORMALIZE_EPSILON: f64 = 1e-12;

/// Numbers of [`memory_contrast`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MemoryContrastSpec {
    /// Divides the cosines; above 0.
    pub temperature: f64,
    /// Lower bound of the sum of exponentials under the logarithm, the largest exponential of the bank being 1; above 0.
    pub clamp_min: f64,
}

/// Two losses of each query `z` against the rows `M` of a bank, for two classes `k` of it: with `l_r = cos(z, M_r) / T -
/// max`, the maximum over all written rows, without gradient,
///
/// `X(z, k) = mean over rows r of class k of ln(max(exp(l_r) + Σ_s exp(l_s), clamp)) - l_r`, `s` running over the rows of
/// all other classes. A class without a written row has the loss 0.
///
/// The bank goes by once, in tiles that stay in the cache: every tile is multiplied with the queries and, where a gradient
/// is wanted, its rows are summed again with the exponentials as weights. Rows are made unit vectors on the way. So the
/// gradient is ready with the value; what is kept for it are two vectors of `D` per query in float32 (float64 for
/// queries of that type), whatever the size of the bank. While it runs on the CPU it takes half a MiB of partial sums, 3
/// numbers per query and row of a class, and a tile of 65,536 numbers per thread; on a device 2 MiB of partial sums and a
/// number per query and row.
/// [`memory_contrast_composed`] is the same out of candle's operations; it keeps several matrices of queries by rows.
///
/// # Shapes
/// `queries (P, D)`; `bank (K, length, D)` of any floating point type; `filled (K)`: of each class the rows that are
/// written, from the first on; `classes (P)`: two classes for each query, which may be the same; to `(P, 2)`. The gradient
/// goes to the queries alone.
///
/// # Errors
/// When the shapes differ, a class does not exist, or a number of the spec is out of range.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::ops::{MemoryContrastSpec, memory_contrast};
///
/// // Two classes with one row each; the query lies on the first of them and across the second.
/// let bank = Tensor::new(&[[[2.0f64, 0.0]], [[0.0, 1.0]]], &Device::Cpu)?;
/// let query = Tensor::new(&[[3.0f64, 0.0]], &Device::Cpu)?;
/// let spec = MemoryContrastSpec { temperature: 0.5, clamp_min: 1e-4 };
/// let losses = memory_contrast(&query, &bank, &[1, 1], &[[0, 1]], &spec)?.to_vec2::<f64>()?;
/// assert!((losses[0][0] - (1.0 + (-2f64).exp()).ln()).abs() < 1e-12);
/// assert!((losses[0][1] - (1.0 + (-2f64).exp()).ln() - 2.0).abs() < 1e-12);
/// assert!(memory_contrast(&query, &bank, &[1, 2], &[[0, 1]], &spec).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
///
/// # Reference
/// The semantic contrast of RCA (CVPR 2022), as released.
pub fn memory_contrast(
    queries: &Tensor,
    bank: &Tensor,
    filled: &[u32],
    classes: &[[usize; 2]],
    spec: &MemoryContrastSpec,
) -> Result<Tensor> {
    check(queries, bank, filled, classes, spec)?;
    let dtype = queries.dtype();
    if classes.is_empty() {
        return Ok(Tensor::zeros((0, 2), dtype, queries.device())?);
    }
    let is_half = matches!(dtype, DType::F16 | DType::BF16);
    let queries = if is_half { queries.to_dtype(DType::F32)? } else { queries.clone() };
    let bank = match bank.dtype() {
        DType::F16 | DType::BF16 if queries.dtype() == DType::F32 => bank.detach().contiguous()?,
        _ => bank.detach().to_dtype(queries.dtype())?.contiguous()?,
    };
    let with_gradient = queries.track_op();
    let pairs: Vec<u32> = classes.iter().flatten().map(|class| *class as u32).collect();
    let kernel = MemoryContrast {
        filled_there: Tensor::from_vec(filled.to_vec(), filled.len(), bank.device())?,
        classes_there: Tensor::from_vec(pairs, (classes.len(), 2), bank.device())?,
        bank,
        filled: filled.to_vec(),
        classes: classes.to_vec(),
        spec: *spec,
        with_gradient,
    };
    Ok(apply1(kernel, &queries)?.narrow(D::Minus1, 0, 2)?.to_dtype(dtype)?)
}

fn check(
    queries: &Tensor,
    bank: &Tensor,
    filled: &[u32],
    classes: &[[usize; 2]],
    spec: &MemoryContrastSpec,
) -> Result<()> {
    expect_shape("queries", queries, [classes.len().into(), "D".into()])?;
    expect_shape("bank", bank, [filled.len().into(), "length".into(), queries.dim(1)?.into()])?;
    let length = bank.dim(1)?;
    if let Some(most) = filled.iter().find(|filled| **filled as usize > length) {
        let reason = format!("must be at most {length}, the rows of a class, are {most}");
        return Err(Error::value("written rows of a bank", reason));
    }
    if let Some(class) = classes.iter().flatten().find(|class| **class >= filled.len()) {
        let reason = format!("must be below {}, the classes of the bank, is {class}", filled.len());
        return Err(Error::value("class of a query", reason));
    }
    for (name, value) in [("temperature", spec.temperature), ("clamp_min", spec.clamp_min)] {
        if !(value > 0.0 && value.is_finite()) {
            return Err(Error::value(name, format!("expected a positive number, got {value}")));
        }
    }
    Ok(())
}
