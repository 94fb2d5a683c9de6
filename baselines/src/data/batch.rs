//! A batch: on the host as the threads make it, on the device as the network takes it.

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{Corners, resize_bilinear};
use candle_wsss::{ImageLabels, Pair, Progress, View};

use crate::data::config::LoaderConfig;
use crate::data::image_set::ImageSet;
use crate::data::transform::Sample;
use crate::error::Result;

/// What one training step is given.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The crop, and the same crop resized to the size of the target view.
    pub views: Pair<View>,
    /// Image-level labels, float32.
    pub labels: ImageLabels,
    /// Names of the images, in the order of the batch.
    pub names: Vec<String>,
    /// Where in the run the step is.
    pub progress: Progress,
}

/// The samples of a batch before they go to the device. Several threads make these, and one brings them there.
pub(super) struct HostBatch {
    pub(super) progress: Progress,
    /// Positions in the image set.
    pub(super) indices: Vec<usize>,
    pub(super) samples: Vec<Sample>,
}

impl HostBatch {
    pub(super) fn upload(self, images: &ImageSet, config: &LoaderConfig, device: &Device) -> Result<Batch> {
        let Self { progress, indices, samples } = self;
        let (count, crop) = (samples.len(), config.crop);
        let mut pixels = Vec::with_capacity(count * 3 * crop * crop);
        let mut saliency = Vec::new();
        for sample in &samples {
            pixels.extend_from_slice(&sample.image);
            saliency.extend_from_slice(sample.saliency.as_deref().unwrap_or_default());
        }
        let source = Tensor::from_vec(pixels, (count, 3, crop, crop), device)?;
        let side = config.target_view.side(crop);
        let resized = |x: &Tensor| resize_bilinear(x, (side, side), Corners::Aligned);
        let mut views = Pair::new(View::new(source.clone())?, View::new(resized(&source)?)?);
        if config.saliency {
            let map = Tensor::from_vec(saliency, (count, 1, crop, crop), device)?;
            let target = resized(&map)?;
            views = views.zip(Pair::new(map, target)).try_map(|(view, map)| view.with_saliency(map))?;
        }
        let views = views.try_map(|view| view.with_normalization(config.normalization))?;
        let present = indices.iter().map(|&index| images.labels(index).to_vec()).collect();
        let labels = ImageLabels::new(present, images.layout(), DType::F32, device)?;
        let names = indices.iter().map(|&index| images.name(index).to_string()).collect();
        Ok(Batch { views, labels, names, progress })
    }
}
