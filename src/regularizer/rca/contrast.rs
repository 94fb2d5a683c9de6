//! The contrast: region embeddings, mixed, against every slot of the memory.

use candle_core::Tensor;

use super::options::{ImageReduction, MixUp};
use super::{RcaConfig, Regions};
use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::memory::ClassQueue;
use crate::ops::{MemoryContrastSpec, memory_contrast};
use crate::sampler::Sampler;

/// A region and the one it is mixed with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionPair {
    /// Image and class of the region.
    pub own: (usize, usize),
    /// Image and class of the partner; the region itself when there is none.
    pub partner: (usize, usize),
    /// Share of the region's own embedding, in `[0, 1]`; 1 without a partner.
    pub share: f64,
}

/// The contrast of a batch, and what it is made of.
#[derive(Clone, Debug)]
pub struct RegionContrast {
    /// Scalar.
    pub value: Tensor,
    /// Regions in the order of images and classes.
    pub pairs: Vec<RegionPair>,
    /// `(pairs, D)`: mixed embeddings, before they are made unit vectors.
    pub embeddings: Tensor,
    /// `(pairs)`: against the slots of the own class.
    pub own: Tensor,
    /// `(pairs)`: against the slots of the partner's class.
    pub partner: Tensor,
}

/// For each class `c` of image `i`, `e` is the mean of the embedding map over the region, `e'` that of a partner: a class
/// drawn from the labels of an image drawn from the batch, which may be the region itself. With `λ ~ Beta(b, b)` and rows
/// `M` of the memory:
///
/// * `z = λ e + (1 - λ) e'`, `l_r = cos(z, M_r) / T - max`, the maximum over all rows, without gradient;
/// * `X(z, k) = mean over rows r of class k of ln(max(exp(l_r) + Σ_s exp(l_s), clamp)) - l_r`, `s` running over the rows
///   of all other classes;
/// * `value = Σ_i mean_c [λ X(z, c) + (1 - λ) X(z, c')]`, or the mean over images.
///
/// Left out: regions without pixels, and classes without a written slot. A region whose partner is one of these, or whose
/// partner image has no label, is not mixed. `None` when no region is left.
///
/// Draws come from the stream `mix/{image}/{class}` of each region: partner image, index into its labels, share.
///
/// # Shapes
/// `embeddings (N, D, h, w)` of the regions' size, slots `(num_foreground, length, D)`, to a scalar. The gradient goes to
/// the embeddings alone.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// Zhou et al., RCA (CVPR 2022), semantic contrast, as released.
pub fn region_contrast(
    embeddings: &Tensor,
    regions: &Regions,
    labels: &ImageLabels,
    queue: &ClassQueue,
    config: &RcaConfig,
    sampler: &dyn Sampler,
) -> Result<Option<RegionContrast>> {
    let dim = embeddings.dims4()?.1;
    let foreground = labels.layout().num_foreground();
    expect_shape("queue", queue.slots(), [foreground.into(), "length".into(), dim.into()])?;
    let pairs = draw_pairs(regions, labels, queue, config, sampler)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let (dtype, device) = (embeddings.dtype(), embeddings.device());
    let column = |values: Vec<f64>| -> Result<Tensor> {
        Ok(Tensor::from_vec(values, (pairs.len(), 1), device)?.to_dtype(dtype)?)
    };
    let share = column(pairs.iter().map(|pair| pair.share).collect())?;
    let rest = column(pairs.iter().map(|pair| 1.0 - pair.share).collect())?;
    // Pooled together: one pass over the embedding map, and one over its gradient.
    let of: Vec<(usize, usize)> =
        pairs.iter().map(|pair| pair.own).chain(pairs.iter().map(|pair| pair.partner)).collect();
    let means = regions.means(embeddings, &of)?;
    let (own, partner) = (means.narrow(0, 0, pairs.len())?, means.narrow(0, pairs.len(), pairs.len())?);
    let mixed = (own.broadcast_mul(&share)? + partner.broadcast_mul(&rest)?)?;
    let classes: Vec<[usize; 2]> = pairs.iter().map(|pair| [pair.own.1, pair.partner.1]).collect();
    let spec = MemoryContrastSpec { temperature: config.temperature, clamp_min: config.clamp_min };
    let losses = memory_contrast(&mixed, queue.slots(), queue.filled(), &classes, &spec)?;
    let (own, partner) = (losses.narrow(1, 0, 1)?.squeeze(1)?, losses.narrow(1, 1, 1)?.squeeze(1)?);
    let each = ((&own * share.squeeze(1)?)? + (&partner * rest.squeeze(1)?)?)?;
    let weights = column(image_weights(&pairs, labels.len(), config.image_reduction))?.squeeze(1)?;
    let value = (each * weights)?.sum_all()?;
    Ok(Some(RegionContrast { value, pairs, embeddings: mixed, own, partner }))
}

fn draw_pairs(
    regions: &Regions,
    labels: &ImageLabels,
    queue: &ClassQueue,
    config: &RcaConfig,
    sampler: &dyn Sampler,
) -> Result<Vec<RegionPair>> {
    let has_meaning = |(image, class): (usize, usize)| regions.count(image, class) > 0.0 && queue.filled()[class] > 0;
    let mut pairs = Vec::new();
    for image in 0..labels.len() {
        for &class in labels.of_image(image) {
            let own = (image, class);
            if has_meaning(own) {
                let partner = match config.mixup {
                    MixUp::Off => None,
                    MixUp::Beta(parameter) => {
                        let mut draws = sampler.fork(&format!("mix/{image}/{class}"));
                        draw_partner(labels, parameter, draws.as_mut())?
                    }
                };
                let (partner, share) = partner.filter(|(partner, _)| has_meaning(*partner)).unwrap_or((own, 1.0));
                pairs.push(RegionPair { own, partner, share });
            }
        }
    }
    Ok(pairs)
}

// Image and class, and the share of the region itself; nothing when the image has no label.
fn draw_partner(
    labels: &ImageLabels,
    parameter: f64,
    draws: &mut dyn Sampler,
) -> Result<Option<((usize, usize), f64)>> {
    let image = draws.distinct(labels.len(), 1)?[0];
    let classes = labels.of_image(image);
    if classes.is_empty() {
        return Ok(None);
    }
    let class = classes[draws.distinct(classes.len(), 1)?[0]];
    Ok(Some(((image, class), draws.beta(parameter, parameter)?)))
}

// Mean over the regions of an image, then sum or mean over the images that have one.
fn image_weights(pairs: &[RegionPair], images: usize, reduction: ImageReduction) -> Vec<f64> {
    let mut regions = vec![0usize; images];
    for pair in pairs {
        regions[pair.own.0] += 1;
    }
    let taking_part = regions.iter().filter(|count| **count > 0).count();
    let divisor = match reduction {
        ImageReduction::Sum => 1,
        ImageReduction::Mean => taking_part,
    };
    pairs.iter().map(|pair| 1.0 / (regions[pair.own.0] * divisor) as f64).collect()
}
