//! What a step writes into the memory.

use candle_core::{DType, Tensor};

use super::options::UpdateMasking;
use super::{RcaConfig, Regions};
use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::memory::ClassQueue;

/// The queue after a step: images in order, each class of an image whose probability exceeds the gate writes the mean of
/// the map over its region into its next slot. No gradient.
///
/// Classes whose region is empty write nothing. The probabilities are copied to the host: they decide what is written
/// where.
///
/// # Shapes
/// `map (N, D, h, w)` of the regions' size, `probabilities (N, num_foreground)` in `[0, 1]`, slots `(num_foreground,
/// length, D)`.
///
/// # Errors
/// When the shapes differ.
///
/// # Reference
/// The memory bank of RCA (CVPR 2022), as released.
pub fn update_memory(
    map: &Tensor,
    regions: &Regions,
    probabilities: &Tensor,
    labels: &ImageLabels,
    queue: &ClassQueue,
    config: &RcaConfig,
) -> Result<ClassQueue> {
    let foreground = labels.layout().num_foreground();
    expect_shape("class probabilities", probabilities, [labels.len().into(), foreground.into()])?;
    let map = regions.flat(&map.detach())?;
    expect_shape("queue", queue.slots(), [foreground.into(), "length".into(), map.dim(1)?.into()])?;
    let probabilities: Vec<Vec<f64>> = probabilities.detach().to_dtype(DType::F64)?.to_vec2()?;
    let mut written = Vec::new();
    let mut embeddings = Vec::new();
    for (image, probabilities) in probabilities.iter().enumerate() {
        let is_written = |class: &usize| probabilities[*class] > config.gate && regions.count(image, *class) > 0.0;
        let classes: Vec<usize> = labels.of_image(image).iter().copied().filter(is_written).collect();
        if classes.is_empty() {
            continue;
        }
        let masks = masks(regions, image, &classes, config.update_masking)?.to_dtype(map.dtype())?;
        let sums = masks.matmul(&map.get(image)?.t()?.contiguous()?)?; // (classes, D)
        let counts = classes.iter().map(|class| regions.count(image, *class)).collect::<Vec<f64>>();
        let counts = Tensor::from_vec(counts, (classes.len(), 1), map.device())?.to_dtype(map.dtype())?;
        embeddings.push(sums.broadcast_div(&counts)?);
        written.extend(classes);
    }
    if embeddings.is_empty() {
        return Ok(queue.clone());
    }
    queue.updated(&written, &Tensor::cat(&embeddings, 0)?, config.memory_momentum)
}

// `(classes, h*w)`: the pixels each class is pooled over.
fn masks(regions: &Regions, image: usize, classes: &[usize], masking: UpdateMasking) -> Result<Tensor> {
    let of_image = regions.masks().get(image)?;
    let mut masks = Vec::with_capacity(classes.len());
    for &class in classes {
        let own = of_image.get(class)?;
        let mask = match (masking, masks.last()) {
            (UpdateMasking::Cumulative, Some(before)) => (own * before)?,
            (UpdateMasking::Cumulative, None) | (UpdateMasking::Own, _) => own,
        };
        masks.push(mask);
    }
    Ok(Tensor::stack(&masks, 0)?)
}
