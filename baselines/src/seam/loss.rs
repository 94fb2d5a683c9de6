//! SEAM's losses, as pure functions of the maps of two views. Background last.
//!
//! In the notation of the functions, `L` is the label vector, 1 for the background, spread over space.

use candle_core::Tensor;
use candle_wsss::error::expect_shape;
use candle_wsss::ops::{self, Corners, Order};
use candle_wsss::seed::max_norm;
use candle_wsss::{ClassLayout, ImageLabels, Objective, Pair, Result};

use super::config::{OneHotChannels, SeamLossConfig};

/// What the losses see of one view.
#[derive(Clone, Debug)]
pub struct ViewMaps {
    /// `(N, num_foreground)`: image-level logits.
    pub logits: Tensor,
    /// `(N, num_classes, h, w)`: raw class activation maps.
    pub cam: Tensor,
    /// `(N, num_classes, h, w)`: the same, refined.
    pub refined: Tensor,
}

impl ViewMaps {
    /// Checks every shape.
    ///
    /// # Errors
    /// Naming the tensor that does not fit.
    fn check(&self, labels: &ImageLabels) -> Result<()> {
        let (n, layout) = (labels.len(), labels.layout());
        expect_shape("logits", &self.logits, [n.into(), layout.num_foreground().into()])?;
        let map = [n.into(), layout.num_classes().into(), "h".into(), "w".into()];
        expect_shape("cam", &self.cam, map)?;
        let (_, _, h, w) = self.cam.dims4()?;
        expect_shape("refined cam", &self.refined, [n.into(), layout.num_classes().into(), h.into(), w.into()])
    }
}

/// All losses of a step.
///
/// ```text
/// loss = cls + min_pool + er + ecr
/// ```
///
/// # Terms
/// * `cls`: [`ops::soft_margin`] of the logits, mean of the views.
/// * `min_pool`: [`min_pool`] of the refined maps, mean of the views. Left out when a map has too few pixels.
/// * `er`: [`equivariance`].
/// * `ecr`: [`cross_equivariance`], the sum of both directions.
///
/// All are left out for an empty batch.
///
/// # Errors
/// When the shapes do not fit the labels.
///
/// # Reference
/// SEAM, `train_SEAM.py`.
pub fn objective(maps: &Pair<ViewMaps>, labels: &ImageLabels, config: &SeamLossConfig) -> Result<Objective> {
    maps.as_ref().try_map(|view| view.check(labels))?;
    let mut objective = Objective::default();
    let terms = &mut objective.terms;
    let weights = &config.weights;
    if labels.is_empty() {
        for name in ["cls", "min_pool", "er", "ecr"] {
            terms.omit(name, "no image in the batch");
        }
        return Ok(objective);
    }
    let targets = labels.multi_hot().to_dtype(maps.source.logits.dtype())?;
    let classification = maps.as_ref().try_map(|view| ops::soft_margin(&view.logits, &targets))?;
    terms.push("cls", weights.cls, classification.mean()?)?;

    let pooled = maps.as_ref().try_map(|view| min_pool(&view.refined, labels, config.min_pool_divisor))?;
    match (pooled.source, pooled.target) {
        (Some(source), Some(target)) => terms.push("min_pool", weights.min_pool, Pair::new(source, target).mean()?)?,
        _ => terms.omit("min_pool", format!("fewer pixels than {}", config.min_pool_divisor)),
    }

    let aligned = Aligned::new(maps, labels)?;
    terms.push("er", weights.er, equivariance(&aligned.cam, labels.layout())?)?;
    let targets = aligned.cam.as_ref().try_map(|cam| one_hot_target(cam, labels.layout(), config.one_hot_channels))?;
    let cross = targets
        .swapped()
        .zip(aligned.refined)
        .try_map(|(target, refined)| cross_equivariance(&target, &refined, config.ecr_fraction))?;
    match (cross.source, cross.target) {
        (Some(source), Some(target)) => terms.push("ecr", weights.ecr, (source + target)?)?,
        _ => terms.omit("ecr", format!("fewer entries than one in {}", config.ecr_fraction)),
    }
    Ok(objective)
}

/// Normalised maps of both views at the size of the target view, with labels as mask.
///
/// ```text
/// a, p = resize(max_norm(cam_1)) L, resize(max_norm(refined_1)) L
/// b, q = max_norm(cam_2) L,         max_norm(refined_2) L
/// ```
///
/// Normalised ([`max_norm`]) first, then resized (bilinear, aligned corners), then masked: the other orders give other numbers.
#[derive(Clone, Debug)]
pub struct Aligned {
    /// `a` and `b`, `(N, num_classes, h, w)`.
    pub cam: Pair<Tensor>,
    /// `p` and `q`, `(N, num_classes, h, w)`.
    pub refined: Pair<Tensor>,
}

impl Aligned {
    /// Brings the maps of a step together.
    ///
    /// # Errors
    /// When the shapes do not fit.
    pub fn new(maps: &Pair<ViewMaps>, labels: &ImageLabels) -> Result<Self> {
        let (_, _, h, w) = maps.target.cam.dims4()?;
        let present = labels.with_background()?.to_dtype(maps.target.cam.dtype())?;
        let align = |map: &Tensor| -> Result<Tensor> {
            let resized = ops::resize_bilinear(&max_norm(map)?, (h, w), Corners::Aligned)?;
            Ok(resized.broadcast_mul(&present)?)
        };
        Ok(Self {
            cam: maps.as_ref().try_map(|view| align(&view.cam))?,
            refined: maps.as_ref().try_map(|view| align(&view.refined))?,
        })
    }
}

/// Min-pooling loss: refined maps of foreground classes should reach zero somewhere.
///
/// ```text
/// v = max_foreground (refined L)                                 per pixel
/// loss = 1/(k N) Σ_images Σ [the k smallest v]+,   k = ⌊h w / divisor⌋
/// ```
///
/// `None` when `k` is 0.
///
/// # Shapes
/// `refined (N, num_classes, h, w)`, raw values, at any size.
///
/// # Errors
/// When the shape does not fit the labels.
///
/// # Reference
/// SEAM, `train_SEAM.py`, `adaptive_min_pooling_loss`.
pub fn min_pool(refined: &Tensor, labels: &ImageLabels, divisor: usize) -> Result<Option<Tensor>> {
    let layout = labels.layout();
    expect_shape("refined cam", refined, [labels.len().into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    let (_, _, h, w) = refined.dims4()?;
    let smallest = h * w / divisor.max(1);
    if smallest == 0 {
        return Ok(None);
    }
    let present = labels.multi_hot().to_dtype(refined.dtype())?.unsqueeze(2)?.unsqueeze(3)?;
    let foreground = refined.narrow(1, 0, layout.num_foreground())?.broadcast_mul(&present)?;
    let strongest = ops::max_keepdim(&foreground, 1)?.flatten(1, 3)?; // (N, h*w)
    let lowest = ops::top_k(&strongest, smallest, Order::Smallest)?.values;
    Ok(Some(ops::relu(&lowest)?.mean_all()?))
}

/// Equivariant regularization: the maps of both views should agree.
///
/// ```text
/// loss = mean |a - b|      over images, foreground channels and pixels
/// ```
///
/// # Shapes
/// Both `(N, num_classes, h, w)`, as [`Aligned::cam`].
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// SEAM, equation 4; `train_SEAM.py`.
pub fn equivariance(cam: &Pair<Tensor>, layout: ClassLayout) -> Result<Tensor> {
    let foreground = cam.as_ref().try_map(|map| map.narrow(1, 0, layout.num_foreground()))?;
    Ok(ops::abs(&(foreground.source - foreground.target)?)?.mean_all()?)
}

/// The target of the cross regularization, no gradient: background as what the foreground leaves, then all but the
/// strongest of the competing channels set to 0 at each pixel. Ties all stay.
///
/// # Shapes
/// `(N, num_classes, h, w)` in and out, as one of [`Aligned::cam`].
///
/// # Errors
/// When the channels do not fit.
///
/// # Reference
/// SEAM, `train_SEAM.py`, `max_onehot` and the line before it.
pub fn one_hot_target(cam: &Tensor, layout: ClassLayout, channels: OneHotChannels) -> Result<Tensor> {
    expect_shape("cam", cam, ["N".into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    let foreground = cam.detach().narrow(1, 0, layout.num_foreground())?;
    let background = (1.0 - foreground.max_keepdim(1)?)?;
    let full = Tensor::cat(&[&foreground, &background], 1)?;
    match channels {
        OneHotChannels::Foreground => Ok(Tensor::cat(&[strongest_only(&foreground)?, background], 1)?),
        OneHotChannels::SkipFirst => {
            let first = full.narrow(1, 0, 1)?;
            let others = full.narrow(1, 1, layout.num_classes() - 1)?;
            Ok(Tensor::cat(&[first, strongest_only(&others)?], 1)?)
        }
    }
}

fn strongest_only(maps: &Tensor) -> Result<Tensor> {
    let is_strongest = maps.broadcast_eq(&maps.max_keepdim(1)?)?.to_dtype(maps.dtype())?;
    Ok((maps * is_strongest)?)
}

/// Equivariant cross regularization, one direction: the refined maps of a view should be the other view's maps.
///
/// ```text
/// loss = mean over images of the k largest |target - refined|,   k = ⌊num_classes h w fraction⌋
/// ```
///
/// `None` when `k` is 0.
///
/// # Shapes
/// Both `(N, num_classes, h, w)`; the target from [`one_hot_target`] of the other view, the refined maps one of
/// [`Aligned::refined`], with their own background.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// SEAM, equation 5; `train_SEAM.py`.
pub fn cross_equivariance(target: &Tensor, refined: &Tensor, fraction: f64) -> Result<Option<Tensor>> {
    let (_, classes, h, w) = refined.dims4()?;
    // The product is a float64 cut to an integer, as in the released code.
    let largest = ((classes * h * w) as f64 * fraction) as usize;
    if largest == 0 {
        return Ok(None);
    }
    let difference = ops::abs(&(target - refined)?)?.flatten(1, 3)?; // (N, num_classes*h*w)
    Ok(Some(ops::top_k(&difference, largest, Order::Largest)?.values.mean_all()?))
}
