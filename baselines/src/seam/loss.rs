//! SEAM's losses, as pure functions of the maps of two views. Background last.
//!
//! In the notation of the functions, `L` is the label vector, 1 for the background, spread over space.

use candle_core::Tensor;
use candle_wsss::error::expect_shape;
use candle_wsss::ops::{self, ComparedMaps, Corners, EquivarianceOptions, EquivarianceTerms, Order};
use candle_wsss::seed::{NORM_EPSILON, max_norm};
use candle_wsss::{ClassLayout, ImageLabels, Objective, Pair, Result};

use super::config::{OneHotChannels, SeamLossConfig};

/// What the losses see of one view: maps as the network makes them, or already enlarged.
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

/// All losses of a step, of maps compared at their own size.
///
/// ```text
/// loss = cls + min_pool + er + ecr
/// ```
///
/// # Terms
/// * `cls`: [`ops::soft_margin`] of the logits, mean of the views.
/// * `min_pool`: [`ops::min_pool`] of the refined maps, mean of the views. Left out when a map has too few pixels.
/// * `er`, `ecr`: [`ops::equivariance`], `ecr` the sum of both directions.
///
/// All are left out for an empty batch.
///
/// # Errors
/// When the shapes do not fit the labels.
///
/// # Reference
/// SEAM, `train_SEAM.py`.
pub fn objective(maps: &Pair<ViewMaps>, labels: &ImageLabels, config: &SeamLossConfig) -> Result<Objective> {
    let own_size = |view: &ViewMaps| -> Result<(usize, usize)> {
        let (_, _, h, w) = view.cam.dims4()?;
        Ok((h, w))
    };
    maps.as_ref().try_map(|view| view.check(labels))?;
    objective_at(maps, maps.as_ref().try_map(own_size)?, labels, config)
}

/// All losses of a step, of maps that are enlarged (bilinear, aligned corners) to `sizes` first: height and width of each
/// view's image. The terms are those of [`objective`]. The enlarged maps are never there, only samples of them.
///
/// The logits stay what they are; SEAM's are means of the enlarged maps, [`ops::resized_mean`].
///
/// # Errors
/// When the shapes do not fit the labels.
pub fn objective_at(
    maps: &Pair<ViewMaps>,
    sizes: Pair<(usize, usize)>,
    labels: &ImageLabels,
    config: &SeamLossConfig,
) -> Result<Objective> {
    evaluate(maps, labels, config, || {
        let pooled = maps
            .as_ref()
            .zip(sizes)
            .try_map(|(view, size)| ops::min_pool(&view.refined, size, labels, config.min_pool_divisor))?;
        let views = maps.as_ref().zip(sizes);
        let views = views.map(|(view, size)| ComparedMaps { cam: &view.cam, refined: &view.refined, size });
        let options = EquivarianceOptions {
            one_hot_channels: config.one_hot_channels,
            ecr_fraction: config.ecr_fraction,
            epsilon: NORM_EPSILON,
        };
        let EquivarianceTerms { er, ecr } = ops::equivariance(views, labels, &options)?;
        Ok(Terms { pooled, er, ecr })
    })
}

/// [`objective_at`] put together from tensor operations on enlarged maps: the reference for its numbers, slower by two
/// orders of magnitude at the size of photographs.
///
/// # Errors
/// As [`objective_at`].
pub fn composed_objective(
    maps: &Pair<ViewMaps>,
    sizes: Pair<(usize, usize)>,
    labels: &ImageLabels,
    config: &SeamLossConfig,
) -> Result<Objective> {
    let enlarged = maps.as_ref().zip(sizes).try_map(|(view, size)| -> Result<ViewMaps> {
        let enlarge = |map: &Tensor| ops::resize_bilinear(map, size, Corners::Aligned);
        Ok(ViewMaps { logits: view.logits.clone(), cam: enlarge(&view.cam)?, refined: enlarge(&view.refined)? })
    })?;
    evaluate(&enlarged, labels, config, || {
        let pooled = enlarged.as_ref().try_map(|view| min_pool(&view.refined, labels, config.min_pool_divisor))?;
        let aligned = Aligned::new(&enlarged, labels)?;
        let er = equivariance(&aligned.cam, labels.layout())?;
        let target = |cam: &Tensor| one_hot_target(cam, labels.layout(), config.one_hot_channels);
        let cross = aligned
            .cam
            .as_ref()
            .try_map(target)?
            .swapped()
            .zip(aligned.refined)
            .try_map(|(target, refined)| cross_equivariance(&target, &refined, config.ecr_fraction))?;
        let ecr = cross.source.zip(cross.target).map(|(source, target)| source + target).transpose()?;
        Ok(Terms { pooled, er, ecr })
    })
}

/// The terms beside the classification.
struct Terms {
    pooled: Pair<Option<Tensor>>,
    er: Tensor,
    ecr: Option<Tensor>,
}

fn evaluate(
    maps: &Pair<ViewMaps>,
    labels: &ImageLabels,
    config: &SeamLossConfig,
    terms_of: impl FnOnce() -> Result<Terms>,
) -> Result<Objective> {
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

    let Terms { pooled, er, ecr } = terms_of()?;
    match (pooled.source, pooled.target) {
        (Some(source), Some(target)) => terms.push("min_pool", weights.min_pool, Pair::new(source, target).mean()?)?,
        _ => terms.omit("min_pool", format!("fewer pixels than {}", config.min_pool_divisor)),
    }
    terms.push("er", weights.er, er)?;
    match ecr {
        Some(ecr) => terms.push("ecr", weights.ecr, ecr)?,
        None => terms.omit("ecr", format!("fewer entries than one in {}", config.ecr_fraction)),
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

/// Composed form of [`ops::min_pool`]: refined maps of foreground classes should reach zero somewhere.
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

/// Composed form of the equivariant regularization: the maps of both views should agree.
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

/// Composed form of the equivariant cross regularization, one direction: the refined maps of a view should be the other view's maps.
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
