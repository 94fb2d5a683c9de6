//! Rows of pictures for a contact sheet.

use candle_wsss::Error;
use image::RgbImage;
use image::imageops::FilterType;

use crate::error::Result;
use crate::report::model::{GalleryRow, Panel};
use crate::report::overlay::{draw_heat, draw_labels};
use crate::report::picture::{Picture, PictureFormat, fitted};

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
    /// Image and labels are made smaller first and drawn upon afterwards: borders stay one pixel wide.
    ///
    /// # Errors
    /// When a layer is not of the image's size or a label has no colour.
    pub fn draw(id: &str, classes: &[usize], image: &RgbImage, layers: &[Layer<'_>], pen: Pen<'_>) -> Result<Self> {
        let size = (image.width(), image.height());
        let shown = fitted(size, pen.max_side);
        let small = (shown != size).then(|| image::imageops::resize(image, shown.0, shown.1, FilterType::Triangle));
        let small = small.as_ref().unwrap_or(image);
        let panel = |layer: &Layer<'_>| -> Result<Panel> {
            let (drawn, mean_iou) = match layer {
                Layer::Image => (None, None),
                Layer::Labels { labels, mean_iou } => {
                    let labels = sampled("labels", labels, size, shown)?;
                    (Some(draw_labels(small, &labels, pen.palette)?), *mean_iou)
                }
                Layer::Heat(scores) => (Some(draw_heat(small, &sampled("scores", scores, size, shown)?)?), None),
            };
            let picture = Picture::encode(drawn.as_ref().unwrap_or(small), pen.max_side, pen.format)?;
            Ok(Panel { picture, mean_iou, caption: String::new() })
        };
        let panels = layers.iter().map(panel).collect::<Result<_>>()?;
        Ok(Self { id: id.to_string(), classes: classes.to_vec(), panels })
    }

    /// Puts a caption below the panel of that index.
    pub fn set_caption(&mut self, panel: usize, caption: impl Into<String>) {
        if let Some(panel) = self.panels.get_mut(panel) {
            panel.caption = caption.into();
        }
    }
}

/// The values nearest to the centres of the pixels of a smaller picture.
fn sampled<T: Copy>(what: &str, values: &[T], from: (u32, u32), to: (u32, u32)) -> Result<Vec<T>> {
    let [columns, rows, width, height] = [from.0, from.1, to.0, to.1].map(|side| side as usize);
    if values.len() != columns * rows {
        let reason = format!("expected {} for an image of {columns} x {rows}, got {}", columns * rows, values.len());
        return Err(Error::value(what, reason).into());
    }
    let near = |at: usize, of: usize, full: usize| (2 * at + 1) * full / (2 * of);
    let row = |y: usize| (0..width).map(move |x| values[near(y, height, rows) * columns + near(x, width, columns)]);
    Ok((0..height).flat_map(row).collect())
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

/// Places of `amount` images at even distances in a list of `of`.
pub fn spaced(of: usize, amount: usize) -> Vec<usize> {
    let amount = amount.min(of);
    (0..amount).map(|index| index * of / amount).collect()
}
