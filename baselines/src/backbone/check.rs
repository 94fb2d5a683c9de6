//! What several trunks have in common: ranges, groups of parameters.

use candle_core::Tensor;
use candle_wsss::error::expect_shape;
use candle_wsss::{Error, ParameterGroup, Result};

use super::batch_norm::BatchNormMode;

/// `1..=most` for the field `width_divisor`.
///
/// # Errors
/// Naming the field, behind `path`.
pub(super) fn width_divisor(path: &str, divisor: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&divisor) {
        return Ok(());
    }
    Err(Error::config(format!("{path}.width_divisor"), format!("must be from 1 to {most}, is {divisor}")))
}

/// `0..=stages` for the field `frozen_stages`.
///
/// # Errors
/// Naming the field, behind `path`.
pub(super) fn frozen_stages(path: &str, frozen: usize, stages: usize) -> Result<()> {
    if frozen <= stages {
        return Ok(());
    }
    Err(Error::config(format!("{path}.frozen_stages"), format!("must be at most {stages}, is {frozen}")))
}

/// 8, 16 or 32 for the field `output_stride`.
///
/// # Errors
/// Naming the field, behind `path`.
pub(super) fn output_stride(path: &str, stride: usize) -> Result<()> {
    if [8, 16, 32].contains(&stride) {
        return Ok(());
    }
    Err(Error::config(format!("{path}.output_stride"), format!("must be 8, 16 or 32, is {stride}")))
}

const IMAGE: &str = "image";

/// Whether a trunk refused an image for its size.
pub(crate) fn is_too_small(err: &Error) -> bool {
    // Images have three channels by construction, so nothing but the sides can be wrong.
    matches!(err, Error::Shape { what, got, .. } if what == IMAGE && got.get(1) == Some(&3))
}

/// `(N, 3, H, W)` with sides of at least so many pixels.
///
/// # Errors
/// When the shape is another.
pub(super) fn image(image: &Tensor, least: usize) -> Result<()> {
    expect_shape(IMAGE, image, ["N".into(), 3.into(), "H".into(), "W".into()])?;
    if image.dims()[2..].iter().all(|side| *side >= least) {
        return Ok(());
    }
    Err(Error::Shape {
        what: IMAGE.to_string(),
        expected: format!("(N, 3, {least}.., {least}..)"),
        got: image.dims().to_vec(),
    })
}

/// Group of a parameter: of a frozen stage or not, of a batch normalisation in that mode or not.
pub(super) fn group(in_frozen_stage: bool, is_batch_norm: bool, mode: BatchNormMode, name: &str) -> ParameterGroup {
    let is_statistic = name.ends_with(".running_mean") || name.ends_with(".running_var");
    let stays = is_batch_norm && (mode == BatchNormMode::Frozen || is_statistic);
    if in_frozen_stage || stays { ParameterGroup::Frozen } else { ParameterGroup::Pretrained }
}
