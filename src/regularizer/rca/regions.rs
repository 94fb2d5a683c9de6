//! [`Regions`]: where the class maps say that each class is.

use candle_core::{DType, Tensor};

use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::ops::{region_masks, region_mean};

/// The region of each foreground class in each image: pixels at which the soft-max over the foreground classes of the
/// coarse maps is strictly above its mean over the image.
///
/// A spatially constant map has an empty region. No gradient. How many pixels each region has is copied to the host,
/// because it decides which regions have a meaning; this is the one copy the contrast waits for.
#[derive(Clone, Debug)]
pub struct Regions {
    /// `(N, num_foreground, h*w)` of `u8`, 1 inside.
    masks: Tensor,
    /// Per image and class.
    counts: Vec<Vec<f64>>,
    size: (usize, usize),
}

impl Regions {
    /// From coarse maps `(N, num_foreground, h, w)`, without a background.
    ///
    /// # Errors
    /// When the shape does not fit the labels.
    pub fn new(coarse: &Tensor, labels: &ImageLabels) -> Result<Self> {
        let foreground = labels.layout().num_foreground();
        expect_shape("coarse maps", coarse, [labels.len().into(), foreground.into(), "h".into(), "w".into()])?;
        let (_, _, h, w) = coarse.dims4()?;
        let masks = region_masks(coarse)?.flatten_from(2)?;
        let counts = masks.to_dtype(DType::F32)?.sum(2)?.to_dtype(DType::F64)?.to_vec2()?;
        Ok(Self { masks, counts, size: (h, w) })
    }

    /// `(N, num_foreground, h*w)` of `u8`, 1 inside.
    pub fn masks(&self) -> &Tensor {
        &self.masks
    }

    /// Pixels of a class in an image.
    pub fn count(&self, image: usize, class: usize) -> f64 {
        self.counts[image][class]
    }

    /// Mean of a map `(N, D, h, w)` over the regions of some images and classes, none of them empty: `(len, D)`. The
    /// gradient goes to the map.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn means(&self, map: &Tensor, of: &[(usize, usize)]) -> Result<Tensor> {
        self.check(map)?;
        // Each region once, however often it is asked for.
        let mut distinct: Vec<(usize, usize)> = of.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let masks = self.masks_of(&distinct)?;
        let means = self.pooled(map, &masks, &distinct)?;
        if distinct == of {
            return Ok(means);
        }
        let index: Vec<u32> = of.iter().map(|region| distinct.partition_point(|other| other < region) as u32).collect();
        Ok(means.index_select(&Tensor::from_vec(index, of.len(), map.device())?, 0)?)
    }

    /// The masks of some images and classes, `(len, h, w)` of `u8`.
    pub(super) fn masks_of(&self, of: &[(usize, usize)]) -> Result<Tensor> {
        let (images, foreground, pixels) = self.masks.dims3()?;
        let rows: Vec<u32> = of.iter().map(|(image, class)| (image * foreground + class) as u32).collect();
        let rows = Tensor::from_vec(rows, of.len(), self.masks.device())?;
        let masks = self.masks.reshape((images * foreground, pixels))?.index_select(&rows, 0)?;
        Ok(masks.reshape((of.len(), self.size.0, self.size.1))?)
    }

    /// Sums of a map over masks, one for each of some images and classes in ascending order, over the pixels of those.
    pub(super) fn pooled(&self, map: &Tensor, masks: &Tensor, of: &[(usize, usize)]) -> Result<Tensor> {
        let images: Vec<usize> = of.iter().map(|(image, _)| *image).collect();
        let counts: Vec<f64> = of.iter().map(|(image, class)| self.count(*image, *class)).collect();
        region_mean(map, masks, &images, &Tensor::from_vec(counts, of.len(), map.device())?)
    }

    /// That the map fits.
    pub(super) fn check(&self, map: &Tensor) -> Result<()> {
        let images = self.masks.dim(0)?;
        let size = [images.into(), "D".into(), self.size.0.into(), self.size.1.into()];
        expect_shape("map under the regions", map, size)
    }
}
