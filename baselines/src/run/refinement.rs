//! [`Refinement`]: seeds of a data set's images through the CRF, whether they were just made or are read from files.

use image::RgbImage;

use crate::crf::{CrfConfig, SeedRefiner};
use crate::data::{ImageSet, Mask};
use crate::error::{Error, Result};
use crate::infer::SeedMaps;
use crate::run::seed_job::of_image;

/// Refines the seeds of images of a data set; several threads share it, and with it what images of one size share.
pub(crate) struct Refinement<'a> {
    images: &'a ImageSet,
    refiner: SeedRefiner,
    needs_saliency: bool,
}

impl<'a> Refinement<'a> {
    /// Of these images, whose saliency maps must be there if one is needed.
    ///
    /// # Errors
    /// When a constant is out of its range, and naming the first map that is missing.
    pub(crate) fn new(images: &'a ImageSet, config: &CrfConfig, indices: &[usize]) -> Result<Self> {
        let (refiner, needs_saliency) = (SeedRefiner::new(config.clone())?, config.needs_saliency());
        if needs_saliency {
            // Before anything is written: that the last image has none should not be noticed after hours.
            for &index in indices {
                let path = images.saliency_path(index);
                if !path.is_file() {
                    let name = images.name(index);
                    let reason = format!("expected the saliency map of image {name}, there is no such file");
                    return Err(Error::data(path, reason));
                }
            }
        }
        Ok(Self { images, refiner, needs_saliency })
    }

    /// The mask of an image of these seeds.
    ///
    /// # Errors
    /// When sizes differ, or the saliency map cannot be read.
    pub(crate) fn mask(&self, index: usize, image: &RgbImage, seeds: &SeedMaps) -> Result<Mask> {
        let saliency = if self.needs_saliency { self.images.saliency(index)? } else { None };
        self.refiner.mask(image, seeds, saliency.as_ref()).map_err(|err| of_image(self.images.name(index), err))
    }
}
