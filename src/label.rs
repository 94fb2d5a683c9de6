//! Which classes there are, and which of them an image has.

use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, expect_shape};

/// Foreground classes `0..num_foreground`, background last. The same order everywhere in this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassLayout {
    num_foreground: usize,
}

impl ClassLayout {
    /// A layout of so many foreground classes.
    ///
    /// # Errors
    /// When there is none.
    pub fn new(num_foreground: usize) -> Result<Self> {
        if num_foreground == 0 {
            return Err(Error::config("num_foreground", "must be at least 1, is 0"));
        }
        Ok(Self { num_foreground })
    }

    /// Classes without the background.
    pub const fn num_foreground(self) -> usize {
        self.num_foreground
    }

    /// Classes with the background.
    pub const fn num_classes(self) -> usize {
        self.num_foreground + 1
    }

    /// Channel of the background: the last one.
    pub const fn background(self) -> usize {
        self.num_foreground
    }
}

/// Image-level labels of a batch, kept on the host (for control flow) and on the device (for arithmetic).
///
/// A step reads the labels from the host copy only, so no loss waits for the device.
#[derive(Clone, Debug)]
pub struct ImageLabels {
    layout: ClassLayout,
    present: Vec<Vec<usize>>,
    multi_hot: Tensor,
}

impl ImageLabels {
    /// From the foreground classes of every image, each below `layout.num_foreground()`.
    ///
    /// # Errors
    /// When a class is out of range.
    pub fn new(present: Vec<Vec<usize>>, layout: ClassLayout, dtype: DType, device: &Device) -> Result<Self> {
        let classes = layout.num_foreground();
        let mut flat = vec![0f32; present.len() * classes];
        let mut sorted = Vec::with_capacity(present.len());
        for (image, labels) in present.into_iter().enumerate() {
            for &class in &labels {
                if class >= classes {
                    return Err(Error::value(
                        format!("label of image {image}"),
                        format!("must be below {classes}, is {class}"),
                    ));
                }
                flat[image * classes + class] = 1.0;
            }
            let mut labels = labels;
            labels.sort_unstable();
            labels.dedup();
            sorted.push(labels);
        }
        let multi_hot = Tensor::from_vec(flat, (sorted.len(), classes), device)?.to_dtype(dtype)?;
        Ok(Self { layout, present: sorted, multi_hot })
    }

    /// From a multi-hot tensor `(N, num_foreground)` of zeros and ones. Copies it to the host once.
    ///
    /// # Errors
    /// When the shape is another or a value is neither 0 nor 1.
    pub fn from_multi_hot(multi_hot: &Tensor, layout: ClassLayout) -> Result<Self> {
        expect_shape("image labels", multi_hot, ["N".into(), layout.num_foreground().into()])?;
        let rows = multi_hot.to_dtype(DType::F32)?.to_vec2::<f32>()?;
        let mut present = Vec::with_capacity(rows.len());
        for (image, row) in rows.iter().enumerate() {
            let mut classes = Vec::new();
            for (class, &value) in row.iter().enumerate() {
                if value == 1.0 {
                    classes.push(class);
                } else if value != 0.0 {
                    return Err(Error::value(
                        format!("label of image {image}, class {class}"),
                        format!("must be 0 or 1, is {value}"),
                    ));
                }
            }
            present.push(classes);
        }
        Self::new(present, layout, multi_hot.dtype(), multi_hot.device())
    }

    /// Images in the batch.
    pub fn len(&self) -> usize {
        self.present.len()
    }

    /// Whether the batch has no image.
    pub fn is_empty(&self) -> bool {
        self.present.is_empty()
    }

    /// The classes and their order.
    pub fn layout(&self) -> ClassLayout {
        self.layout
    }

    /// Foreground classes of one image, ascending.
    pub fn of_image(&self, image: usize) -> &[usize] {
        &self.present[image]
    }

    /// Foreground classes that any image of the batch has, ascending.
    pub fn in_batch(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.present.iter().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// `(N, num_foreground)`, ones where the image has the class.
    pub fn multi_hot(&self) -> &Tensor {
        &self.multi_hot
    }

    /// `(N, num_classes, 1, 1)`: the labels with the background always present, ready to mask maps.
    ///
    /// # Errors
    /// Those of candle.
    pub fn with_background(&self) -> Result<Tensor> {
        let ones = Tensor::ones((self.len(), 1), self.multi_hot.dtype(), self.multi_hot.device())?;
        Ok(Tensor::cat(&[&self.multi_hot, &ones], 1)?.unsqueeze(2)?.unsqueeze(3)?)
    }
}
