//! [`Dataset`]: an [`ImageSet`] and its masks, for evaluation.

use std::path::Path;
use std::sync::Arc;

use candle_wsss::ClassLayout;
use image::{GrayImage, RgbImage};

use crate::data::image_set::ImageSet;
use crate::data::listing::{Listing, Sight};
use crate::data::mask::Mask;
use crate::data::masks::MaskPlace;
use crate::data::source::DataSource;
use crate::error::{Error, Result};

/// A split with its masks, for evaluation.
#[derive(Clone, Debug)]
pub struct Dataset {
    images: Arc<ImageSet>,
    masks: MaskPlace,
    has_masks: bool,
}

impl Dataset {
    /// Opens a split with its masks, which may be absent, all in its usual place.
    ///
    /// # Errors
    /// Those of [`ImageSet::open_from`].
    pub fn open(root: &Path, split: &str) -> Result<Self> {
        Self::open_from(&DataSource::new(root, split))
    }

    /// Opens a part of a data set of any kind with its masks, which may be absent.
    ///
    /// # Errors
    /// Those of [`ImageSet::open_from`], and when there is no such folder of masks as the source asks for.
    pub fn open_from(source: &DataSource) -> Result<Self> {
        let listing = Listing::read(source, Sight::Masks)?;
        let masks = listing.masks.clone();
        let images = Arc::new(ImageSet::of(source, listing)?);
        if let (Some(asked), false) = (&source.masks, masks.exists()) {
            let folder = source.root.join(asked);
            return Err(Error::data(folder, "expected the folder of masks, there is no such folder"));
        }
        let has_masks = (0..images.len()).all(|index| masks.is_there(images.name(index)));
        Ok(Self { images, masks, has_masks })
    }

    /// Opens a part of a data set for training: no masks, and no way to them.
    ///
    /// # Errors
    /// Those of [`ImageSet::open_from`].
    pub fn open_images_from(source: &DataSource) -> Result<Arc<ImageSet>> {
        Ok(Arc::new(ImageSet::open_from(source)?))
    }

    /// Opens a split for training: no masks, and no way to them.
    ///
    /// # Errors
    /// Those of [`ImageSet::open_from`].
    pub fn open_images(root: &Path, split: &str) -> Result<Arc<ImageSet>> {
        Ok(Arc::new(ImageSet::open(root, split)?))
    }

    /// The same split without its masks.
    pub fn images(&self) -> &Arc<ImageSet> {
        &self.images
    }

    /// Images in the split.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is none; never, once opened.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Name of an image, without folder and extension.
    pub fn name(&self, index: usize) -> &str {
        self.images.name(index)
    }

    /// Names of the foreground classes, in the order of their indices.
    pub fn class_names(&self) -> &[String] {
        self.images.class_names()
    }

    /// The classes, background last.
    pub fn layout(&self) -> ClassLayout {
        self.images.layout()
    }

    /// Foreground classes of an image, ascending.
    pub fn labels(&self, index: usize) -> &[usize] {
        self.images.labels(index)
    }

    /// Reads an image.
    ///
    /// # Errors
    /// Those of [`ImageSet::image`].
    pub fn image(&self, index: usize) -> Result<RgbImage> {
        self.images.image(index)
    }

    /// Reads the saliency map of an image.
    ///
    /// # Errors
    /// Those of [`ImageSet::saliency`].
    pub fn saliency(&self, index: usize) -> Result<Option<GrayImage>> {
        self.images.saliency(index)
    }

    /// Whether every image of the split has a mask file.
    pub fn has_masks(&self) -> bool {
        self.has_masks
    }

    /// Which masks these are, for reports: `SegmentationClass`; for images of VOC beyond VOC's own lists, how many those
    /// are, `SegmentationClassAug (1464 of 10582 in VOC's own lists, the rest SBD)`; or `COCO polygons`.
    pub fn mask_source(&self) -> String {
        let names: Vec<&str> = (0..self.len()).map(|index| self.name(index)).collect();
        self.masks.title(self.images.root(), &names)
    }

    /// Reads the mask of an image.
    ///
    /// # Errors
    /// When it is missing, no mask, of another size than the image, or has a value that is neither background, class
    /// nor void.
    pub fn mask(&self, index: usize) -> Result<Mask> {
        let mask = self.masks.read(index, self.name(index), self.layout().num_foreground())?;
        let path = self.masks.path(self.name(index));
        self.images.check_size(index, &path, (mask.width, mask.height))?;
        Ok(mask)
    }
}
