//! The losses of EPS as pure functions of class maps and saliency. Background last.

use candle_core::Tensor;
use candle_wsss::error::expect_shape;
use candle_wsss::{Error, ImageLabels, Objective, Pair, Result, ops};
use serde::{Deserialize, Serialize};

use super::config::{EpsLosses, LossViews};
use crate::seam::loss::{self as seam, ViewMaps};

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

/// What the losses see of one view.
#[derive(Clone, Debug)]
pub struct EpsMaps {
    /// `(N, num_foreground)`: image-level logits.
    pub logits: Tensor,
    /// `(N, num_classes, h, w)`: raw class activation maps.
    pub cam: Tensor,
    /// `(N, num_classes, h, w)`: the same, refined, if there is a pixel correlation module.
    pub refined: Option<Tensor>,
    /// `(N, 1, H, W)` in `[0, 1]`.
    pub saliency: Option<Tensor>,
}

impl EpsMaps {
    fn saliency(&self) -> Result<&Tensor> {
        let missing =
            || Error::value("saliency", "EPS needs saliency maps, the batch has none: set `loader.saliency = true`");
        self.saliency.as_ref().ok_or_else(missing)
    }
}

/// All losses of a step.
///
/// ```text
/// loss = cls + sal                                 without refined maps
/// loss = cls + min_pool + er + ecr + sal           with them
/// ```
///
/// # Terms
/// * `cls`: [`ops::soft_margin`] of the logits, mean of the views ([`EpsLosses::views`]).
/// * `sal`: [`saliency_fit`] of the raw maps, mean of the views, and with refined maps the same of those added. The
///   refined maps go through a softmax like the raw ones.
/// * `min_pool`, `er`, `ecr`: those of [`crate::seam::loss::objective`].
///
/// All are left out for an empty batch.
///
/// # Errors
/// When a view that counts has no saliency, only one of the views has refined maps, or the shapes do not fit the labels.
///
/// # Reference
/// EPS, `module/train.py`; with refined maps the training scripts of HSC and of PPC on EPS.
pub fn objective(maps: &Pair<EpsMaps>, labels: &ImageLabels, config: &EpsLosses) -> Result<Objective> {
    match (&maps.source.refined, &maps.target.refined) {
        (None, None) => plain_objective(maps, labels, config),
        (Some(source), Some(target)) => refined_objective(maps, Pair::new(source, target), labels, config),
        _ => Err(Error::value("refined cam", "one of the views has it, the other has not")),
    }
}

const EMPTY: &str = "no image in the batch";

fn plain_objective(maps: &Pair<EpsMaps>, labels: &ImageLabels, config: &EpsLosses) -> Result<Objective> {
    let mut objective = Objective::default();
    let terms = &mut objective.terms;
    if labels.is_empty() {
        terms.omit("cls", EMPTY);
        terms.omit("sal", EMPTY);
        return Ok(objective);
    }
    let targets = labels.multi_hot().to_dtype(maps.source.logits.dtype())?;
    let cls = over_views(maps, config.views, |view| ops::soft_margin(&view.logits, &targets))?;
    terms.push("cls", config.weights.cls, cls)?;
    let sal = over_views(maps, config.views, |view| fit_loss(&view.cam, view, labels, config))?;
    terms.push("sal", config.weights.sal, sal)?;
    Ok(objective)
}

fn refined_objective(
    maps: &Pair<EpsMaps>,
    refined: Pair<&Tensor>,
    labels: &ImageLabels,
    config: &EpsLosses,
) -> Result<Objective> {
    let views = maps.as_ref().zip(refined).map(|(view, refined)| ViewMaps {
        logits: view.logits.clone(),
        cam: view.cam.clone(),
        refined: refined.clone(),
    });
    let mut objective = seam::objective(&views, labels, &config.seam())?;
    if labels.is_empty() {
        objective.terms.omit("sal", EMPTY);
        return Ok(objective);
    }
    let fit = |map: fn(&ViewMaps) -> &Tensor| {
        let both = maps.as_ref().zip(views.as_ref());
        both.try_map(|(view, maps)| fit_loss(map(maps), view, labels, config))?.mean()
    };
    objective.terms.push("sal", config.weights.sal, (fit(|maps| &maps.cam)? + fit(|maps| &maps.refined)?)?)?;
    Ok(objective)
}

fn over_views(maps: &Pair<EpsMaps>, views: LossViews, loss: impl Fn(&EpsMaps) -> Result<Tensor>) -> Result<Tensor> {
    match views {
        LossViews::Source => loss(&maps.source),
        LossViews::Both => maps.as_ref().try_map(loss)?.mean(),
    }
}

fn fit_loss(map: &Tensor, view: &EpsMaps, labels: &ImageLabels, config: &EpsLosses) -> Result<Tensor> {
    Ok(saliency_fit(map, view.saliency()?, labels, &config.saliency)?.loss)
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
