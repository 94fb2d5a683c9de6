//! MAM: where the support network's scales see what the main network does not, the main network's maps are to expand.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result, expect_shape};
use crate::label::{ClassLayout, ImageLabels};
use crate::ops::{abs, unit};
use crate::seed::max_norm;

// `F.normalize`'s.
const UNIT_EPSILON: f64 = 1e-12;

/// [`max_norm`] of the foreground's maps: what the functions here compare.
///
/// # Shapes
/// `(N, num_classes, h, w)`, background last, to `(N, num_foreground, h, w)` in `[0, 1)`.
///
/// # Errors
/// When the shape is another.
pub fn foreground_maps(cam: &Tensor, layout: ClassLayout) -> Result<Tensor> {
    expect_shape("activation map", cam, ["N".into(), layout.num_classes().into(), "h".into(), "w".into()])?;
    max_norm(&cam.narrow(1, 0, layout.num_foreground())?.contiguous()?)
}

/// Per image and class, `softmax_s [(1 - cos(main, support_s)) / temperature]` over the support network's scales, the
/// cosine taken over all pixels: a scale counts for more, the less the main network's map resembles it. No gradient.
///
/// A flat map has no direction to compare with and gets no attention, unless all of them are flat; the scales of one
/// image and class sum to 1 in any case.
///
/// # Shapes
/// All maps `(N, num_foreground, h, w)`, not negative, to `(scales, N, num_foreground)`.
///
/// # Errors
/// When there is no scale, the shapes differ, or the temperature is not positive.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::regularizer::pss::scale_attention;
///
/// let map = |left: f64, right: f64| Tensor::new(&[[[[left, right]]]], &Device::Cpu);
/// // Cosines 1 and 0.
/// let attention = scale_attention(&map(1.0, 0.0)?, &[map(0.5, 0.0)?, map(0.0, 1.0)?], 0.5)?;
/// let unseen = 1.0 / (1.0 + (-2.0f64).exp());
/// assert!((attention.to_vec3::<f64>()?[1][0][0] - unseen).abs() < 1e-12);
/// assert!(scale_attention(&map(1.0, 0.0)?, &[], 0.5).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn scale_attention(main: &Tensor, support: &[Tensor], temperature: f64) -> Result<Tensor> {
    if support.is_empty() {
        return Err(Error::value("maps of the support network", "there are none"));
    }
    // Written so that NaN fails.
    if !(temperature > 0.0 && temperature.is_finite()) {
        return Err(Error::value("temperature of the attention", format!("must be positive, is {temperature}")));
    }
    let rows = |map: &Tensor| -> Result<Tensor> { unit(&map.detach().flatten_from(2)?, 2, UNIT_EPSILON) };
    let direction = rows(main)?; // (N, num_foreground, h*w)
    let mut logits = Vec::with_capacity(support.len());
    for map in support {
        expect_same("map of the support network", map, main)?;
        let cosine = (&direction * rows(map)?)?.sum(2)?;
        let logit = ((1.0 - cosine)? / temperature)?;
        // Far below any logit, and finite.
        let none = (logit.zeros_like()? - 1e30)?;
        logits.push(is_seen(map)?.where_cond(&logit, &none)?);
    }
    Ok(candle_nn::ops::softmax(&Tensor::stack(&logits, 0)?, 0)?)
}

/// `Σ_s attention_s * support_s`. No gradient.
///
/// # Shapes
/// Maps `(N, num_foreground, h, w)`, attention `(scales, N, num_foreground)`, to one such map.
///
/// # Errors
/// When there is no scale or the shapes differ.
pub fn expansion_target(support: &[Tensor], attention: &Tensor) -> Result<Tensor> {
    let first = support.first().ok_or_else(|| Error::value("maps of the support network", "there are none"))?;
    let (n, classes, _, _) = first.dims4()?;
    expect_shape("attention", attention, [support.len().into(), n.into(), classes.into()])?;
    let mut target = first.zeros_like()?.detach();
    for (scale, map) in support.iter().enumerate() {
        expect_same("map of the support network", map, first)?;
        let share = attention.get(scale)?.detach().unsqueeze(2)?.unsqueeze(3)?;
        target = (target + map.detach().broadcast_mul(&share)?)?;
    }
    Ok(target)
}

/// `mean |target - main|` over the main network's scales, over the classes that an image has and the target shows
/// somewhere, and over all pixels. `None` when there is no such class.
///
/// The gradient goes to the main network's maps. Reads one number from the device.
///
/// # Shapes
/// All maps `(N, num_foreground, h, w)`, to a scalar.
///
/// # Errors
/// When there is no scale or the shapes differ.
///
/// # Reference
/// MAM of PSS (arXiv 2112.05351); the form of the loss is ours.
pub fn expansion_loss(main: &[Tensor], target: &Tensor, labels: &ImageLabels) -> Result<Option<Tensor>> {
    if main.is_empty() {
        return Err(Error::value("maps of the main network", "there are none"));
    }
    let foreground = labels.layout().num_foreground();
    expect_shape("target", target, [labels.len().into(), foreground.into(), "h".into(), "w".into()])?;
    let present = labels.multi_hot().to_dtype(target.dtype())?;
    let counts = (present * is_seen(target)?.to_dtype(target.dtype())?)?; // (N, num_foreground)
    let count = counts.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    if count == 0.0 {
        return Ok(None);
    }
    let target = target.detach();
    let mut sum: Option<Tensor> = None;
    for map in main {
        expect_same("map of the main network", map, &target)?;
        let distance = (abs(&(&target - map)?)?.mean((2, 3))? * &counts)?.sum_all()?;
        sum = Some(match sum {
            None => distance,
            Some(sum) => (sum + distance)?,
        });
    }
    let mean = |sum: Tensor| sum / (count * main.len() as f64);
    Ok(sum.map(mean).transpose()?)
}

// `(N, C)` of `u8`: 1 where the map is above 0 somewhere.
fn is_seen(map: &Tensor) -> Result<Tensor> {
    Ok(map.detach().flatten_from(2)?.max(2)?.gt(0.0)?)
}

fn expect_same(what: &str, map: &Tensor, like: &Tensor) -> Result<()> {
    let (n, classes, h, w) = like.dims4()?;
    expect_shape(what, map, [n.into(), classes.into(), h.into(), w.into()])
}
