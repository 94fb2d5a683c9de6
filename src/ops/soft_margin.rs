//! The classification loss of image-level labels. Composed.

use candle_core::Tensor;

use super::pointwise::softplus;
use crate::error::{Error, Result};

/// Multi-label soft margin loss, mean over images and classes. PyTorch: `F.multilabel_soft_margin_loss`.
///
/// `-(y ln σ(s) + (1-y) ln σ(-s)) = ln(1 + e^s) - s y`, finite for every logit; the gradient is `σ(s) - y` everywhere.
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
    Ok((softplus(logits)? - (logits * targets)?)?.mean_all()?)
}
