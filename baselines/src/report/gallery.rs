//! Rows of pictures for a contact sheet.

use image::RgbImage;

use crate::error::Result;
use crate::report::model::{GalleryRow, Panel};
use crate::report::overlay::{draw_heat, draw_labels};
use crate::report::picture::{Picture, PictureFormat};

/// How pictures are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Pen<'a> {
    /// Colour of every label, background first.
    pub palette: &'a [[u8; 3]],
    /// Longest side of a picture in pixels.
    pub max_side: u32,
    /// Encoding.
    pub format: PictureFormat,
}

/// What is drawn over an image.
#[derive(Clone, Copy, Debug)]
pub enum Layer<'a> {
    /// Nothing: the image itself.
    Image,
    /// Labels in the palette convention, with the mIoU of this image if they are a prediction.
    Labels {
        /// One label per pixel, row-major.
        labels: &'a [u8],
        /// mIoU against the ground truth of this image, in `[0, 1]`.
        mean_iou: Option<f64>,
    },
    /// Scores from 0 to 1.
    Heat(&'a [f32]),
}

impl GalleryRow {
    /// Draws one panel per layer. `classes` are the labels the image has.
    ///
    /// # Errors
    /// When a layer is not of the image's size or a label has no colour.
    pub fn draw(id: &str, classes: &[usize], image: &RgbImage, layers: &[Layer<'_>], pen: Pen<'_>) -> Result<Self> {
        let panel = |layer: &Layer<'_>| -> Result<Panel> {
            let (drawn, mean_iou) = match layer {
                Layer::Image => (None, None),
                Layer::Labels { labels, mean_iou } => (Some(draw_labels(image, labels, pen.palette)?), *mean_iou),
                Layer::Heat(scores) => (Some(draw_heat(image, scores)?), None),
            };
            let drawn = drawn.as_ref().unwrap_or(image);
            Ok(Panel { picture: Picture::encode(drawn, pen.max_side, pen.format)?, mean_iou })
        };
        let panels = layers.iter().map(panel).collect::<Result<_>>()?;
        Ok(Self { id: id.to_string(), classes: classes.to_vec(), panels })
    }
}

/// Places of the `amount` lowest values, lowest first, and of the `amount` highest, highest first.
///
/// Equal values stand in the order they came in; values that are no numbers, in neither list. No place is in both
/// lists: of a short list the lowest go first.
pub fn extremes(values: &[Option<f64>], amount: usize) -> (Vec<usize>, Vec<usize>) {
    let mut known: Vec<(usize, f64)> = values
        .iter()
        .enumerate()
        .filter_map(|(place, value)| value.filter(|value| !value.is_nan()).map(|value| (place, value)))
        .collect();
    known.sort_by(|a, b| a.1.total_cmp(&b.1));
    let lowest: Vec<usize> = known.iter().take(amount).map(|(place, _)| *place).collect();
    let mut rest = known.split_off(lowest.len());
    rest.sort_by(|a, b| b.1.total_cmp(&a.1));
    let highest = rest.into_iter().take(amount).map(|(place, _)| place).collect();
    (lowest, highest)
}
