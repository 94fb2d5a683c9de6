//! Two views of the same images: what a network is given.

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, expect_shape};

/// A value for each of the two views of an image.
///
/// The source is the crop the image level sees, the target the same crop made smaller.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pair<T> {
    /// View 1 of the papers.
    pub source: T,
    /// View 2 of the papers.
    pub target: T,
}

impl<T> Pair<T> {
    /// A pair from its two members.
    pub fn new(source: T, target: T) -> Self {
        Self { source, target }
    }

    /// References to both.
    pub fn as_ref(&self) -> Pair<&T> {
        Pair::new(&self.source, &self.target)
    }

    /// The other view's value in each place: the way every cross-view term is written.
    #[must_use]
    pub fn swapped(self) -> Self {
        Self::new(self.target, self.source)
    }

    /// Applies `f` to the source, then to the target.
    pub fn map<U>(self, mut f: impl FnMut(T) -> U) -> Pair<U> {
        Pair::new(f(self.source), f(self.target))
    }

    /// Applies `f` to the source, then to the target, and stops at the first error.
    ///
    /// # Errors
    /// Those of `f`.
    pub fn try_map<U, E>(self, mut f: impl FnMut(T) -> Result<U, E>) -> Result<Pair<U>, E> {
        Ok(Pair::new(f(self.source)?, f(self.target)?))
    }

    /// Pairs up the members of two pairs.
    pub fn zip<U>(self, other: Pair<U>) -> Pair<(T, U)> {
        Pair::new((self.source, other.source), (self.target, other.target))
    }
}

impl Pair<Tensor> {
    /// `(source + target) / 2`.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn mean(&self) -> Result<Tensor> {
        Ok(((&self.source + &self.target)? * 0.5)?)
    }
}

/// How image values in `[0, 1]` were normalised: `(value - mean) / std` per RGB channel.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Normalization {
    /// Subtracted, per RGB channel, in units of full intensity 1.
    pub mean: [f64; 3],
    /// Divided by, per RGB channel.
    pub std: [f64; 3],
}

impl Normalization {
    /// The constants all four papers' code uses.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

impl Default for Normalization {
    fn default() -> Self {
        Self::IMAGENET
    }
}

/// A batch of images as a network takes it.
#[derive(Clone, Debug)]
pub struct View {
    image: Tensor,
    saliency: Option<Tensor>,
    normalization: Normalization,
}

impl View {
    /// A batch of normalised RGB images, `(N, 3, H, W)`.
    ///
    /// # Errors
    /// When the shape is another.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use candle_wsss::View;
    ///
    /// assert!(View::new(Tensor::zeros((2, 3, 8, 8), DType::F32, &Device::Cpu)?).is_ok());
    /// assert!(View::new(Tensor::zeros((2, 1, 8, 8), DType::F32, &Device::Cpu)?).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(image: Tensor) -> Result<Self> {
        expect_shape("View image", &image, ["N".into(), 3.into(), "H".into(), "W".into()])?;
        Ok(Self { image, saliency: None, normalization: Normalization::default() })
    }

    /// Adds saliency maps, `(N, 1, H, W)` in `[0, 1]`, of the image's size.
    ///
    /// # Errors
    /// When the shape is another.
    pub fn with_saliency(mut self, saliency: Tensor) -> Result<Self> {
        let (n, _, h, w) = self.image.dims4()?;
        expect_shape("View saliency", &saliency, [n.into(), 1.into(), h.into(), w.into()])?;
        self.saliency = Some(saliency);
        Ok(self)
    }

    /// Says how the image was normalised, for terms that need its colours back.
    ///
    /// # Errors
    /// When a standard deviation is not positive.
    pub fn with_normalization(mut self, normalization: Normalization) -> Result<Self> {
        if normalization.std.iter().any(|s| s.is_nan() || *s <= 0.0) {
            return Err(Error::value("normalization std", format!("must be positive, is {:?}", normalization.std)));
        }
        self.normalization = normalization;
        Ok(self)
    }

    /// `(N, 3, H, W)`, normalised.
    pub fn image(&self) -> &Tensor {
        &self.image
    }

    /// `(N, 1, H, W)` in `[0, 1]`, when the data set has saliency.
    pub fn saliency(&self) -> Option<&Tensor> {
        self.saliency.as_ref()
    }

    /// How the image was normalised.
    pub fn normalization(&self) -> Normalization {
        self.normalization
    }
}
