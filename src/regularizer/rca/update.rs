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
    let map = map.detach();
    regions.check(&map)?;
    expect_shape("queue", queue.slots(), [foreground.into(), "length".into(), map.dim(1)?.into()])?;
    let probabilities: Vec<Vec<f64>> = probabilities.detach().to_dtype(DType::F64)?.to_vec2()?;
    let mut written = Vec::new();
    for (image, probabilities) in probabilities.iter().enumerate() {
        let is_written = |class: &usize| probabilities[*class] > config.gate && regions.count(image, *class) > 0.0;
        let classes = labels.of_image(image).iter().copied().filter(is_written);
        written.extend(classes.map(|class| (image, class)));
    }
    if written.is_empty() {
        return Ok(queue.clone());
    }
    let masks = regions.masks_of(&written)?;
    let masks = match config.update_masking {
        UpdateMasking::Own => masks,
        UpdateMasking::Cumulative => cumulative(&masks, &written)?,
    };
    let embeddings = regions.pooled(&map, &masks, &written)?;
    let classes: Vec<usize> = written.into_iter().map(|(_, class)| class).collect();
    queue.updated(&classes, &embeddings, config.memory_momentum)
}

// Each mask times those before it of the same image.
fn cumulative(masks: &Tensor, of: &[(usize, usize)]) -> Result<Tensor> {
    let mut all: Vec<Tensor> = Vec::with_capacity(of.len());
    for (at, (image, _)) in of.iter().enumerate() {
        let own = masks.get(at)?;
        let is_next = at > 0 && of[at - 1].0 == *image;
        all.push(match all.last().filter(|_| is_next) {
            Some(before) => (own * before)?,
            None => own,
        });
    }
    Ok(Tensor::stack(&all, 0)?)
}
