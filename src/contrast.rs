//! Contrastive losses as pure functions of features, prototypes and labels.

use candle_core::{D, Tensor};

use crate::error::{Error, Result, expect_shape};
use crate::ops::{abs, clamp};

/// Scaled inner products of features with prototypes: `f p^T / temperature`.
///
/// # Shapes
/// `(P, D)`, `(C, D)` to `(P, C)`.
///
/// # Errors
/// When the dimensions differ.
pub fn prototype_logits(features: &Tensor, prototypes: &Tensor, temperature: f64) -> Result<Tensor> {
    expect_shape("features", features, ["P".into(), "D".into()])?;
    expect_shape("prototypes", prototypes, ["C".into(), features.dim(1)?.into()])?;
    Ok((features.matmul(&prototypes.t()?)? / temperature)?)
}

/// Cross entropy of every row with its label: `ln Σ_c exp(l_c) - l_label`.
///
/// Summed in logarithms: the quotient of exponentials underflows in float32 once the logits differ by about 87, which
/// un-normalised prototypes make happen.
///
/// # Shapes
/// `logits (P, C)`, `labels (P)` of `u32`, to `(P)`.
///
/// # Errors
/// When the shapes differ.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::contrast::cross_entropy;
///
/// let logits = Tensor::new(&[[2.0f32, 2.0], [0.0, 200.0]], &Device::Cpu)?;
/// let losses = cross_entropy(&logits, &Tensor::new(&[1u32, 0], &Device::Cpu)?)?.to_vec1::<f32>()?;
/// assert_eq!(losses, [2f32.ln(), 200.0]);
/// assert!(cross_entropy(&logits, &Tensor::new(&[1u32], &Device::Cpu)?).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn cross_entropy(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    let own = own_logit(logits, labels)?;
    Ok((log_sum_exp(logits)? - own)?)
}

/// [`cross_entropy`] in which only the columns of `allowed` count, and each row's own.
///
/// # Shapes
/// As there; `allowed (C)` of `u8`, 1 for the columns that take part.
///
/// # Errors
/// When the shapes differ.
pub fn cross_entropy_among(logits: &Tensor, labels: &Tensor, allowed: &Tensor) -> Result<Tensor> {
    let own = own_logit(logits, labels)?;
    let classes = logits.dim(1)?;
    expect_shape("allowed columns", allowed, [classes.into()])?;
    let columns = Tensor::arange(0u32, classes as u32, logits.device())?.unsqueeze(0)?;
    let is_own = labels.unsqueeze(1)?.broadcast_eq(&columns)?; // (P, C)
    let counts = is_own.broadcast_add(&allowed.unsqueeze(0)?)?;
    // Far below any logit, and finite.
    let excluded = (logits.zeros_like()?.detach() - 1e30)?;
    Ok((log_sum_exp(&counts.where_cond(logits, &excluded)?)? - own)?)
}

/// [`cross_entropy`] against chosen columns: `ln [exp(l_label) + Σ_j exp(l_column(j))] - l_label`.
///
/// A column counts as often as it is chosen, the label's own once more.
///
/// # Shapes
/// As there; `columns (P, M)` of `u32`, `M >= 1`.
///
/// # Errors
/// When the shapes differ.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::contrast::cross_entropy_against;
///
/// let logits = Tensor::new(&[[1.0f64, 1.0, 300.0]], &Device::Cpu)?;
/// let labels = Tensor::new(&[0u32], &Device::Cpu)?;
/// // Columns 1 and, once more, 0: three equal summands.
/// let columns = Tensor::new(&[[1u32, 0]], &Device::Cpu)?;
/// let loss = cross_entropy_against(&logits, &labels, &columns)?.to_vec1::<f64>()?[0];
/// assert!((loss - 3f64.ln()).abs() < 1e-12);
/// assert!(cross_entropy_against(&logits, &labels, &labels).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn cross_entropy_against(logits: &Tensor, labels: &Tensor, columns: &Tensor) -> Result<Tensor> {
    let own = own_logit(logits, labels)?;
    expect_shape("chosen columns", columns, [logits.dim(0)?.into(), "M".into()])?;
    let chosen = logits.gather(&columns.contiguous()?, 1)?;
    Ok((log_sum_exp(&Tensor::cat(&[&own.unsqueeze(1)?, &chosen], 1)?)? - own)?)
}

/// `mean_ij -ln(1 - clamp(a_i·b_j, low, high))` over all pairs of rows: 0 for orthogonal rows, large for equal ones.
///
/// # Shapes
/// `(N, D)`, `(M, D)`, unit rows, to a scalar.
///
/// # Errors
/// When the dimensions differ, or the bounds are not `low <= high < 1`.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::contrast::pair_dissimilarity;
///
/// let a = Tensor::new(&[[1.0f64, 0.0]], &Device::Cpu)?;
/// let b = Tensor::new(&[[0.6f64, 0.8], [-1.0, 0.0]], &Device::Cpu)?;
/// // Cosines 0.6 and -1; the latter is limited to 0.
/// let loss = pair_dissimilarity(&a, &b, (0.0, 0.9995))?.to_scalar::<f64>()?;
/// assert!((loss + 0.4f64.ln() / 2.0).abs() < 1e-12);
/// assert!(pair_dissimilarity(&a, &b, (0.0, 1.0)).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn pair_dissimilarity(a: &Tensor, b: &Tensor, (low, high): (f64, f64)) -> Result<Tensor> {
    if high.is_nan() || high >= 1.0 {
        return Err(Error::value("upper bound of the cosine", format!("must be below 1, is {high}")));
    }
    let cosine = clamp(&prototype_logits(a, b, 1.0)?, low, high)?;
    Ok((1.0 - cosine)?.log()?.mean_all()?.neg()?)
}

/// `mean |target - row|` over all rows and dimensions.
///
/// # Shapes
/// `rows (N, D)`, `target (D)`, to a scalar.
///
/// # Errors
/// When the dimensions differ.
pub fn alignment(rows: &Tensor, target: &Tensor) -> Result<Tensor> {
    expect_shape("aligned rows", rows, ["N".into(), "D".into()])?;
    expect_shape("target of the alignment", target, [rows.dim(1)?.into()])?;
    Ok(abs(&rows.broadcast_sub(&target.unsqueeze(0)?)?)?.mean_all()?)
}

fn own_logit(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    expect_shape("logits", logits, ["P".into(), "C".into()])?;
    expect_shape("labels", labels, [logits.dim(0)?.into()])?;
    Ok(logits.gather(&labels.unsqueeze(1)?.contiguous()?, 1)?.squeeze(1)?)
}

fn log_sum_exp(logits: &Tensor) -> Result<Tensor> {
    let top = logits.detach().max_keepdim(D::Minus1)?;
    let sum = logits.broadcast_sub(&top)?.exp()?.sum_keepdim(D::Minus1)?;
    Ok((sum.log()? + top)?.squeeze(1)?)
}
