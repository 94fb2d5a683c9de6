//! Scores for the background, which no classifier is trained on.
//!
//! Maps are `(C, h, w)` or `(N, C, h, w)`; those with the background have it as the last channel.

use candle_core::{D, Tensor};

use crate::error::{Error, Result};
use crate::ops::{max_keepdim, relu};

/// Overwrites the background channel by a constant.
///
/// # Errors
/// When the map has no channel axis.
pub fn constant(map: &Tensor, score: f64) -> Result<Tensor> {
    let foreground = foreground(map)?;
    let background = (foreground.narrow(D::Minus(3), 0, 1)?.zeros_like()?.detach() + score)?;
    Ok(Tensor::cat(&[&foreground, &background], channel_axis(map)?)?)
}

/// Overwrites the background channel by [`one_minus_max`] of the others.
///
/// # Errors
/// When the map has no channel axis, or no foreground channel.
pub fn complement(map: &Tensor) -> Result<Tensor> {
    let foreground = foreground(map)?;
    let background = one_minus_max(&foreground)?;
    Ok(Tensor::cat(&[&foreground, &background], channel_axis(map)?)?)
}

/// `1 - max_c foreground_c`, one channel.
///
/// # Errors
/// When the map has no channel axis, or no channel.
pub fn one_minus_max(foreground: &Tensor) -> Result<Tensor> {
    let most = max_keepdim(foreground, channel_axis(foreground)?)?;
    Ok((1.0 - most)?)
}

/// `relu(1 - max_c foreground_c)^alpha`, one channel: a larger `alpha` means less background.
///
/// # Errors
/// When `alpha` is not positive, or as [`one_minus_max`].
pub fn power(foreground: &Tensor, alpha: f64) -> Result<Tensor> {
    if !(alpha > 0.0 && alpha.is_finite()) {
        return Err(Error::value("background alpha", format!("must be positive, is {alpha}")));
    }
    Ok(relu(&one_minus_max(foreground)?)?.powf(alpha)?)
}

fn foreground(map: &Tensor) -> Result<Tensor> {
    let axis = channel_axis(map)?;
    let count = map.dim(axis)?;
    if count < 2 {
        return Err(Error::value("map with background", format!("must have at least 2 channels, has {count}")));
    }
    Ok(map.narrow(axis, 0, count - 1)?)
}

fn channel_axis(map: &Tensor) -> Result<usize> {
    map.rank().checked_sub(3).ok_or_else(|| Error::Shape {
        what: "class map".to_string(),
        expected: "(.., C, h, w)".to_string(),
        got: map.dims().to_vec(),
    })
}
