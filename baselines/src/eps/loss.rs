//! The saliency loss of EPS as a pure function of class maps and saliency. Background last.

use candle_core::Tensor;
use candle_wsss::error::expect_shape;
use candle_wsss::{Error, ImageLabels, Result, ops};
use serde::{Deserialize, Serialize};

/// Constants of the saliency loss. The defaults are those of the released code; its scripts for VOC set the threshold
/// to 0.4, those for COCO the share to 0.9 as well.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpsLossConfig {
    /// A labelled class counts as salient when its overlap with the saliency map is above this (τ), in `[0, 1]`.
    pub overlap_threshold: f64,
    /// Share of the foreground's map in the predicted saliency, the rest is the background's (λ), in `[0, 1]`.
    pub foreground_share: f64,
    /// Added to the area of a class at every pixel.
    pub overlap_epsilon: f64,
}

impl Default for EpsLossConfig {
    fn default() -> Self {
        Self { overlap_threshold: 0.5, foreground_share: 0.5, overlap_epsilon: 1e-4 }
    }
}

impl EpsLossConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field, behind `path`.
    pub fn validate(&self, path: &str) -> Result<()> {
        let shares = [("overlap_threshold", self.overlap_threshold), ("foreground_share", self.foreground_share)];
        for (name, value) in shares {
            if !(0.0..=1.0).contains(&value) {
                return Err(Error::config(format!("{path}.{name}"), format!("must be from 0 to 1, is {value}")));
            }
        }
        if self.overlap_epsilon.is_finite() && self.overlap_epsilon > 0.0 {
            return Ok(());
        }
        let reason = format!("must be positive, is {}", self.overlap_epsilon);
        Err(Error::config(format!("{path}.overlap_epsilon"), reason))
    }
}

/// How class maps explain a saliency map.
#[derive(Clone, Debug)]
pub struct SaliencyFit {
    /// Scalar loss.
    pub loss: Tensor,
    /// `(N, num_foreground)`: share of a class's area that is salient. No gradient.
    pub overlap: Tensor,
    /// `(N, num_foreground)`: 1 for labelled classes whose overlap is above the threshold. No gradient.
    pub salient: Tensor,
    /// `(N, 1, h, w)`: the saliency the maps are compared with.
    pub saliency: Tensor,
    /// `(N, 1, h, w)`: probability of the salient classes.
    pub foreground: Tensor,
    /// `(N, 1, h, w)`: 1 minus the probability of the background and of labelled classes that are not salient.
    pub background: Tensor,
    /// `(N, 1, h, w)`: predicted saliency.
    pub prediction: Tensor,
}

/// Saliency loss: labelled classes and background together should explain the saliency map.
///
/// ```text
/// P = softmax over classes of cam,   R = [P > 1/2],   T = [S > 1/2]
/// overlap_c = Σ_pixels R_c T / Σ_pixels (R_c + ε)          (a precision, no gradient)
/// F = Σ P_c over labelled c with overlap_c > τ
/// B = 1 - P_background - Σ P_c over labelled c with overlap_c <= τ
/// loss = mean (λ F + (1 - λ) B - S)²
/// ```
///
/// Unlabelled classes are in neither sum. `S` stays continuous in the loss; it is resized to the maps' grid by the
/// nearest pixel.
///
/// # Shapes
/// `cam (N, num_classes, h, w)` logits, `saliency (N, 1, H, W)` in `[0, 1]`.
///
/// # Errors
/// When the shapes do not fit the labels.
///
/// # Reference
/// EPS, equations 2 to 5; eps.py, `get_eps_loss`.
pub fn saliency_fit(
    cam: &Tensor,
    saliency: &Tensor,
    labels: &ImageLabels,
    config: &EpsLossConfig,
) -> Result<SaliencyFit> {
    let (n, layout) = (labels.len(), labels.layout());
    expect_shape("cam", cam, [n.into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    expect_shape("saliency", saliency, [n.into(), 1.into(), "H".into(), "W".into()])?;
    let (_, _, h, w) = cam.dims4()?;
    let dtype = cam.dtype();
    let saliency = ops::resize_nearest(&saliency.to_dtype(dtype)?.detach(), (h, w))?;
    let probability = candle_nn::ops::softmax(cam, 1)?;
    let classes = probability.narrow(1, 0, layout.num_foreground())?;

    // Rounding half to even maps [0, 1] to whether a value is above one half.
    let area = classes.detach().gt(0.5)?.to_dtype(dtype)?.flatten(2, 3)?; // (N, num_foreground, h*w)
    let target = saliency.gt(0.5)?.to_dtype(dtype)?.flatten(2, 3)?;
    let covered = area.broadcast_mul(&target)?.sum(2)?;
    let overlap = (covered / (area + config.overlap_epsilon)?.sum(2)?)?;

    let labelled = labels.multi_hot().to_dtype(dtype)?;
    let salient = (overlap.gt(config.overlap_threshold)?.to_dtype(dtype)? * &labelled)?;
    let hidden = (labelled - &salient)?;
    let spread = |mask: &Tensor| mask.unsqueeze(2)?.unsqueeze(3);
    let foreground = classes.broadcast_mul(&spread(&salient)?)?.sum_keepdim(1)?;
    let rest = classes.broadcast_mul(&spread(&hidden)?)?.sum_keepdim(1)?;
    let background = (1.0 - (rest + probability.narrow(1, layout.background(), 1)?)?)?;
    let share = config.foreground_share;
    let prediction = ((&foreground * share)? + (&background * (1.0 - share))?)?;
    let loss = (&prediction - &saliency)?.sqr()?.mean_all()?;
    Ok(SaliencyFit { loss, overlap, salient, saliency, foreground, background, prediction })
}
