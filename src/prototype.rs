//! Vectors that stand for a class or a region: weighted means of pixel features.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result, expect_shape};
use crate::ops::{Order, pixel_sums, region_mean, top_k, top_pixels, unit};

// `F.normalize`'s.
const UNIT_EPSILON: f64 = 1e-12;

/// Pixels of a batch in rows: `(N, D, h, w)` to `(N*h*w, D)`.
///
/// # Errors
/// When the shape is another.
pub fn pixel_rows(map: &Tensor) -> Result<Tensor> {
    expect_shape("feature map", map, ["N".into(), "D".into(), "h".into(), "w".into()])?;
    let dim = map.dim(1)?;
    Ok(map.permute((0, 2, 3, 1))?.reshape(((), dim))?)
}

/// Classes in rows, all pixels of a batch in columns: `(N, C, h, w)` to `(C, N*h*w)`.
///
/// # Errors
/// When the shape is another.
pub fn class_rows(map: &Tensor) -> Result<Tensor> {
    expect_shape("score map", map, ["N".into(), "C".into(), "h".into(), "w".into()])?;
    let classes = map.dim(1)?;
    Ok(map.permute((1, 0, 2, 3))?.reshape((classes, ()))?)
}

/// The best-scored pixels of every class over the whole batch, best first; among equal ones the lowest index first.
#[derive(Clone, Debug)]
pub struct TopPixels {
    scores: Tensor,
    indices: Tensor,
    pixels: usize,
}

impl TopPixels {
    /// The `k` best of each row of `scores (C, P)`, or all when there are fewer. No gradient to the scores.
    ///
    /// # Errors
    /// When the shape is another or `k` is 0.
    pub fn new(scores: &Tensor, k: usize) -> Result<Self> {
        expect_shape("pixel scores", scores, ["C".into(), "P".into()])?;
        if k == 0 {
            return Err(Error::value("pixels per prototype", "must be at least 1, is 0"));
        }
        let pixels = scores.dim(1)?;
        let top = top_k(&scores.detach(), k.min(pixels), Order::Largest)?;
        Ok(Self { scores: top.values, indices: top.indices, pixels })
    }

    /// The same from a map `(N, C, h, w)`, of some of its channels or of all: the rows of [`class_rows`], read where they
    /// lie.
    ///
    /// # Errors
    /// When the shape is another, a channel does not exist or `k` is 0.
    pub fn of_map(scores: &Tensor, channels: Option<&[usize]>, k: usize) -> Result<Self> {
        expect_shape("score map", scores, ["N".into(), "C".into(), "h".into(), "w".into()])?;
        if k == 0 {
            return Err(Error::value("pixels per prototype", "must be at least 1, is 0"));
        }
        let (n, _, h, w) = scores.dims4()?;
        let pixels = n * h * w;
        let (scores, indices) = top_pixels(scores, channels, k.min(pixels))?;
        Ok(Self { scores, indices, pixels })
    }

    /// The best `k` of them, or all when there are fewer.
    ///
    /// # Errors
    /// Those of candle.
    pub fn head(&self, k: usize) -> Result<Self> {
        let k = k.min(self.scores.dim(1)?);
        let scores = self.scores.narrow(1, 0, k)?.contiguous()?;
        Ok(Self { scores, indices: self.indices.narrow(1, 0, k)?.contiguous()?, pixels: self.pixels })
    }

    /// `(C, k)`, `u32`: positions of the pixels.
    pub fn indices(&self) -> &Tensor {
        &self.indices
    }

    /// `(C, k)`: their scores, descending.
    pub fn scores(&self) -> &Tensor {
        &self.scores
    }

    /// `unit(Σ s f / Σ s)`, a unit vector per class; the gradient goes to the features.
    ///
    /// Scores may be negative; a class whose scores sum to 0 gets the zero vector.
    ///
    /// # Shapes
    /// `features (P, D)` to `(C, D)`.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn mean_direction(&self, features: &Tensor) -> Result<Tensor> {
        expect_shape("pixel features", features, [self.pixels.into(), "D".into()])?;
        let weights = self.weights()?.to_dtype(features.dtype())?;
        // One product with a sparse matrix serves all classes: no gather, and a dense backward.
        let dense = Tensor::zeros((self.scores.dim(0)?, self.pixels), features.dtype(), features.device())?
            .scatter_add(&self.indices, &weights, 1)?; // (C, P)
        unit(&dense.matmul(features)?, 1, UNIT_EPSILON)
    }

    /// The same from a map `(N, D, h, w)`: the chosen pixels are read where they lie.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn mean_direction_of_map(&self, features: &Tensor) -> Result<Tensor> {
        expect_shape("feature map", features, ["N".into(), "D".into(), "h".into(), "w".into()])?;
        let (n, _, h, w) = features.dims4()?;
        if n * h * w != self.pixels {
            let reason = format!("must be {}, as the scores have, is {}", self.pixels, n * h * w);
            return Err(Error::value("pixels of the features", reason));
        }
        unit(&pixel_sums(features, &self.indices, &self.weights()?)?, 1, UNIT_EPSILON)
    }

    // The length of a mean is normalised away, so that of its divisor only the sign is left.
    fn weights(&self) -> Result<Tensor> {
        Ok(self.scores.broadcast_mul(&self.scores.sum_keepdim(1)?.sign()?)?)
    }
}

/// One unit vector per class: the score-weighted mean of its `k` best pixels over the whole batch. No gradient.
///
/// Every class gets one, also those no image has.
///
/// # Shapes
/// `scores (N, C, h, w)`, `features (N, D, h, w)` to `(C, D)`.
///
/// # Errors
/// When the shapes differ or `k` is 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::prototype::class_prototypes;
///
/// // One class, three pixels, features of two channels.
/// let scores = Tensor::new(&[[[[0.1f64, 0.5, 0.5]]]], &Device::Cpu)?;
/// let features = Tensor::new(&[[[[5.0f64, 3.0, 0.0]], [[0.0, 0.0, 4.0]]]], &Device::Cpu)?;
/// assert_eq!(class_prototypes(&scores, &features, 2)?.to_vec2::<f64>()?, [[0.6, 0.8]]);
/// assert_eq!(class_prototypes(&scores, &features, 1)?.to_vec2::<f64>()?, [[1.0, 0.0]]);
/// assert!(class_prototypes(&scores, &features, 0).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
///
/// # Reference
/// Prototypes of PPC (CVPR 2022) and of HSC's pixel level (IJCAI 2023).
pub fn class_prototypes(scores: &Tensor, features: &Tensor, k: usize) -> Result<Tensor> {
    TopPixels::of_map(scores, None, k)?.mean_direction_of_map(&features.detach())
}

/// Mean feature over each region of every image: `Σ f / (count + ε)`, 0 for an empty region.
///
/// # Shapes
/// `features (N, D, h, w)` and `regions`, each `(N, h, w)` of `u8` (1 inside), to one `(N, D)` per region.
///
/// # Errors
/// When the shapes differ.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::prototype::region_means;
///
/// let features = Tensor::new(&[[[[1.0f64, 2.0, 6.0]]]], &Device::Cpu)?;
/// let regions = [Tensor::new(&[[[0u8, 1, 1]]], &Device::Cpu)?, Tensor::new(&[[[0u8, 0, 0]]], &Device::Cpu)?];
/// let means = region_means(&features, &regions, 1e-5)?;
/// assert!((means[0].to_vec2::<f64>()?[0][0] - 4.0).abs() < 1e-4);
/// assert_eq!(means[1].to_vec2::<f64>()?, [[0.0]]);
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn region_means(features: &Tensor, regions: &[Tensor], epsilon: f64) -> Result<Vec<Tensor>> {
    expect_shape("feature map", features, ["N".into(), "D".into(), "h".into(), "w".into()])?;
    let (n, dim, h, w) = features.dims4()?;
    for region in regions {
        expect_shape("region", region, [n.into(), h.into(), w.into()])?;
    }
    if n * regions.len() == 0 {
        return Ok(vec![Tensor::zeros((n, dim), features.dtype(), features.device())?; regions.len()]);
    }
    // All regions of an image side by side: one pass over the map, and one over its gradient.
    let masks = Tensor::stack(regions, 1)?.reshape((n * regions.len(), h, w))?;
    let images: Vec<usize> = (0..n).flat_map(|image| vec![image; regions.len()]).collect();
    let counts = masks.to_dtype(DType::F64)?.sum((1, 2))?;
    let means = region_mean(features, &masks, &images, &(counts + epsilon)?)?;
    let means = means.reshape((n, regions.len(), dim))?;
    (0..regions.len()).map(|region| Ok(means.narrow(1, region, 1)?.squeeze(1)?)).collect()
}
