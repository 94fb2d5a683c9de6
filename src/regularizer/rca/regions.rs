//! [`Regions`]: where the class maps say that each class is.

use candle_core::{DType, Tensor};

use crate::error::{Result, expect_shape};
use crate::label::ImageLabels;
use crate::ops::min_keepdim;

/// The region of each foreground class in each image: pixels at which the soft-max over the foreground classes of the
/// coarse maps is strictly above its mean over the image.
///
/// A spatially constant map has an empty region. No gradient. How many pixels each region has is copied to the host,
/// because it decides which regions have a meaning; this is the one copy the contrast waits for.
#[derive(Clone, Debug)]
pub struct Regions {
    /// `(N, num_foreground, h*w)`, ones inside.
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
        let beliefs = candle_nn::ops::softmax(&coarse.detach(), 1)?.flatten_from(2)?.contiguous()?;
        let above = beliefs.broadcast_gt(&beliefs.mean_keepdim(2)?)?;
        // The smallest is never above the mean, but for rounding: the mean of equal numbers may be less than they are.
        let not_smallest = beliefs.broadcast_gt(&min_keepdim(&beliefs, 2)?)?;
        let masks = (above * not_smallest)?.to_dtype(coarse.dtype())?;
        let counts = masks.sum(2)?.to_dtype(DType::F64)?.to_vec2()?;
        Ok(Self { masks, counts, size: (h, w) })
    }

    /// `(N, num_foreground, h*w)`, ones inside.
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
        let flat = self.flat(map)?;
        let (images, foreground, _) = self.masks.dims3()?;
        let masks = self.masks.to_dtype(map.dtype())?;
        // All classes at once: as many products as images, and a dense backward.
        let sums = flat.matmul(&masks.transpose(1, 2)?.contiguous()?)?; // (N, D, num_foreground)
        let sums = sums.transpose(1, 2)?.reshape((images * foreground, ()))?;
        let index: Vec<u32> = of.iter().map(|(image, class)| (image * foreground + class) as u32).collect();
        let counts: Vec<f64> = of.iter().map(|(image, class)| self.counts[*image][*class]).collect();
        let index = Tensor::from_vec(index, of.len(), map.device())?;
        let counts = Tensor::from_vec(counts, (of.len(), 1), map.device())?.to_dtype(map.dtype())?;
        Ok(sums.index_select(&index, 0)?.broadcast_div(&counts)?)
    }

    /// The map as `(N, D, h*w)`, if it fits.
    pub(super) fn flat(&self, map: &Tensor) -> Result<Tensor> {
        let images = self.masks.dim(0)?;
        expect_shape(
            "map under the regions",
            map,
            [images.into(), "D".into(), self.size.0.into(), self.size.1.into()],
        )?;
        Ok(map.flatten_from(2)?.contiguous()?)
    }
}
