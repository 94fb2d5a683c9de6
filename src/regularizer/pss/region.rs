//! RCM: regions from the support network's maps, prototypes from its features, the main network's pixels against them.

use candle_core::{DType, Tensor};

use super::RcmConfig;
use crate::contrast::{cross_entropy_among, prototype_logits};
use crate::error::{Error, Result, expect_shape};
use crate::label::ImageLabels;
use crate::ops::{max_keepdim, unit};
use crate::prototype::pixel_rows;
use crate::seed::max_norm;

// `F.normalize`'s.
const UNIT_EPSILON: f64 = 1e-12;

/// The class of each pixel, `num_classes` where it is ignored. No gradient.
///
/// `m = max_norm(mean_s cam_s * label)` of the foreground, `c` the best class of a pixel (the lowest of several):
/// `c` where `m_c > foreground_threshold`, background where `m_c < background_threshold`, ignored between.
///
/// An image without a foreground label, and one whose maps are flat, is background all over.
///
/// # Shapes
/// `cams`, one per scale, `(N, num_classes, h, w)`, background last, to `(N, h, w)` of `u32`.
///
/// # Errors
/// When there is no map or the shapes differ.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_wsss::regularizer::pss::{RcmConfig, region_masks};
/// use candle_wsss::{ClassLayout, ImageLabels};
///
/// let labels = ImageLabels::new(vec![vec![1]], ClassLayout::new(2)?, DType::F64, &Device::Cpu)?;
/// // Class 0 is absent. Class 1, over its maximum: 1, 0.2, 0. Background's own channel says nothing.
/// let cam = Tensor::new(&[[[[9.0f64, 9.0, 9.0]], [[5.0, 1.0, 0.0]], [[3.0, 3.0, 3.0]]]], &Device::Cpu)?;
/// assert_eq!(region_masks(&[cam], &labels, &RcmConfig::default())?.to_vec3::<u32>()?, [[[1, 3, 2]]]);
/// assert!(region_masks(&[], &labels, &RcmConfig::default()).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn region_masks(cams: &[Tensor], labels: &ImageLabels, config: &RcmConfig) -> Result<Tensor> {
    let layout = labels.layout();
    let (classes, foreground) = (layout.num_classes(), layout.num_foreground());
    let mean = mean_map(cams, labels)?;
    let present = labels.multi_hot().to_dtype(mean.dtype())?.unsqueeze(2)?.unsqueeze(3)?;
    let maps = max_norm(&mean.narrow(1, 0, foreground)?.broadcast_mul(&present)?)?;
    let most = max_keepdim(&maps, 1)?; // (N, 1, h, w)
    let index = Tensor::arange(0u32, foreground as u32, maps.device())?.reshape((1, foreground, 1, 1))?;
    let index = index.broadcast_as(maps.shape())?.contiguous()?;
    let none = Tensor::full(classes as u32, index.shape(), index.device())?;
    let best = maps.broadcast_eq(&most)?.where_cond(&index, &none)?.min(1)?; // (N, h, w)
    let most = most.squeeze(1)?;
    let ignored = Tensor::full(classes as u32, best.shape(), best.device())?;
    let background = Tensor::full(layout.background() as u32, best.shape(), best.device())?;
    let rest = most.lt(config.background_threshold)?.where_cond(&background, &ignored)?;
    Ok(most.gt(config.foreground_threshold)?.where_cond(&best, &rest)?)
}

fn mean_map(cams: &[Tensor], labels: &ImageLabels) -> Result<Tensor> {
    let classes = labels.layout().num_classes();
    let (first, rest) = cams.split_first().ok_or_else(|| Error::value("maps of the regions", "there are none"))?;
    let (_, _, h, w) = first.dims4()?;
    let mut sum = first.detach();
    expect_shape("map of the regions", &sum, [labels.len().into(), classes.into(), h.into(), w.into()])?;
    for cam in rest {
        expect_shape("map of the regions", cam, [labels.len().into(), classes.into(), h.into(), w.into()])?;
        sum = (sum + cam.detach())?;
    }
    Ok((sum / cams.len() as f64)?)
}

/// What stands for each class in a batch.
#[derive(Clone, Debug)]
pub struct RegionPrototypes {
    /// `(num_classes, D)`: unit vectors; zeros for a class without region. No gradient.
    pub rows: Tensor,
    /// `(num_classes)` of `u8`: 1 for the classes that have a region.
    pub available: Tensor,
}

/// Per class, `unit(mean of unit(f))` over its pixels of the whole batch. No gradient.
///
/// # Shapes
/// `features (N, D, h, w)`, `regions (N, h, w)` of `u32` as [`region_masks`] makes them.
///
/// # Errors
/// When the shapes differ.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::regularizer::pss::region_prototypes;
///
/// // Three pixels of two channels: class 0, class 0, ignored. Class 1, the background, has none.
/// let features = Tensor::new(&[[[[3.0f64, 0.0, 9.0]], [[0.0, 0.5, 9.0]]]], &Device::Cpu)?;
/// let regions = Tensor::new(&[[[0u32, 0, 2]]], &Device::Cpu)?;
/// let prototypes = region_prototypes(&features, &regions, 2)?;
/// let side = 0.5f64.sqrt();
/// assert!((prototypes.rows.to_vec2::<f64>()?[0][0] - side).abs() < 1e-12);
/// assert_eq!(prototypes.available.to_vec1::<u8>()?, [1, 0]);
/// assert!(region_prototypes(&features, &regions.narrow(2, 0, 2)?, 2).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn region_prototypes(features: &Tensor, regions: &Tensor, num_classes: usize) -> Result<RegionPrototypes> {
    let pixels = unit_pixels(&features.detach(), regions)?;
    let members = one_hot(regions, num_classes)?.to_dtype(pixels.dtype())?; // (P, num_classes)
    // The length of a mean is normalised away, and so is its divisor.
    let rows = unit(&members.t()?.contiguous()?.matmul(&pixels)?, 1, UNIT_EPSILON)?;
    Ok(RegionPrototypes { rows, available: members.sum(0)?.gt(0.0)? })
}

/// `mean -ln [exp(f·P_t / T) / Σ_c exp(f·P_c / T)]` over the pixels that are in a region `t` with a prototype, `f`
/// their unit feature, `c` over the classes with a prototype. `None` when there is no such pixel.
///
/// The gradient goes to the features. Reads one number from the device.
///
/// # Shapes
/// `features (N, D, h, w)`, `regions (N, h, w)` of `u32`, to a scalar.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// RCM of PSS (arXiv 2112.05351); the form of the loss is ours.
pub fn region_contrast(
    features: &Tensor,
    regions: &Tensor,
    prototypes: &RegionPrototypes,
    temperature: f64,
) -> Result<Option<Tensor>> {
    let num_classes = prototypes.available.dim(0)?;
    let pixels = unit_pixels(features, regions)?;
    let logits = prototype_logits(&pixels, &prototypes.rows.detach(), temperature)?; // (P, num_classes)
    let counts = one_hot(regions, num_classes)?.broadcast_mul(&prototypes.available.unsqueeze(0)?)?;
    let counts = counts.to_dtype(logits.dtype())?.sum(1)?; // (P), 1 for the pixels that take part
    let count = counts.sum_all()?.to_dtype(DType::F64)?.to_scalar::<f64>()?;
    if count == 0.0 {
        return Ok(None);
    }
    // An ignored pixel has no class; any serves, since its loss counts 0 times.
    let last = Tensor::full(num_classes as u32 - 1, (), regions.device())?;
    let own = regions.flatten_all()?.broadcast_minimum(&last)?;
    let losses = cross_entropy_among(&logits, &own, &prototypes.available)?;
    Ok(Some(((losses * counts)?.sum_all()? / count)?))
}

// `(N, D, h, w)` to `(P, D)`, each row a unit vector.
fn unit_pixels(features: &Tensor, regions: &Tensor) -> Result<Tensor> {
    let (n, _, h, w) = features.dims4()?;
    expect_shape("regions", regions, [n.into(), h.into(), w.into()])?;
    unit(&pixel_rows(features)?, 1, UNIT_EPSILON)
}

// `(P, num_classes)` of `u8`; a row of zeros for an ignored pixel.
fn one_hot(regions: &Tensor, num_classes: usize) -> Result<Tensor> {
    let columns = Tensor::arange(0u32, num_classes as u32, regions.device())?.unsqueeze(0)?;
    Ok(regions.flatten_all()?.unsqueeze(1)?.broadcast_eq(&columns)?)
}
