//! Elementwise operations with PyTorch's subgradients, and losses that stay finite. Composed of candle's operations.

use candle_core::Tensor;

use crate::error::{Error, Result};

/// `max(x, 0)`, gradient 0 at 0. PyTorch: `F.relu`.
///
/// candle's own has gradient 1 at 0, which matters where maps hold exact zeros.
///
/// # Errors
/// Those of candle.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    let positive = x.detach().gt(0f64)?.to_dtype(x.dtype())?;
    Ok((x * positive)?)
}

/// Multi-label soft margin loss, mean over images and classes. PyTorch: `F.multilabel_soft_margin_loss`.
///
/// `-(y ln σ(s) + (1-y) ln σ(-s)) = max(s, 0) - s y + ln(1 + e^-|s|)`, finite for every logit.
///
/// # Shapes
/// Both `(N, num_foreground)`; targets in `[0, 1]`.
///
/// # Errors
/// When the shapes differ.
pub fn soft_margin(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    if logits.dims() != targets.dims() {
        return Err(Error::Shape {
            what: "soft margin targets".to_string(),
            expected: format!("{:?}", logits.dims()),
            got: targets.dims().to_vec(),
        });
    }
    let softplus = ((logits.abs()?.neg()?.exp()? + 1.0)?.log()? + relu(logits)?)?;
    Ok((softplus - (logits * targets)?)?.mean_all()?)
}
