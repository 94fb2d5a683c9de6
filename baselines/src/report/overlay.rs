//! Labels and score maps drawn over photographs.

use candle_wsss::Error;
use image::{Rgb, RgbImage};

use crate::data::VOID;
use crate::error::Result;
use crate::report::color_scale::score_color;

/// Share of a class's colour inside its region.
const REGION: f32 = 0.55;
/// Share of gray where there is no label.
const VOIDED: f32 = 0.75;
/// The two grays of void, striped.
const STRIPES: [u8; 2] = [235, 150];
/// Width of a stripe, in pixels along a row.
const STRIPE: usize = 4;
/// Share of the colour of a score of 0, and of 1.
const HEAT: [f32; 2] = [0.25, 0.75];
/// Share of white in a border, to be seen on a region of the same colour as the photograph.
const RIM: f32 = 0.25;

/// Draws the regions of `labels` (row-major, palette convention) over `image`: half transparent, their borders opaque.
///
/// Background stays as it is; void is drawn in gray stripes.
///
/// # Errors
/// When the sizes differ, or a label has no colour.
pub fn draw_labels(image: &RgbImage, labels: &[u8], palette: &[[u8; 3]]) -> Result<RgbImage> {
    expect_pixels("labels", image, labels.len())?;
    let color = |label: u8| -> Result<[u8; 3]> {
        let missing = || Error::value("labels", format!("no colour for label {label} in {}", palette.len()));
        Ok(*palette.get(usize::from(label)).ok_or_else(missing)?)
    };
    let mut drawn = image.clone();
    let width = image.width() as usize;
    for (at, (pixel, &label)) in drawn.pixels_mut().zip(labels).enumerate() {
        match label {
            0 => {}
            VOID => {
                let along = at % width + at / width;
                blend(pixel, [STRIPES[along / STRIPE % STRIPES.len()]; 3], VOIDED);
            }
            label if is_border(labels, at, width) => {
                *pixel = Rgb(color(label)?);
                blend(pixel, [u8::MAX; 3], RIM);
            }
            label => blend(pixel, color(label)?, REGION),
        }
    }
    Ok(drawn)
}

/// Whether a neighbour above, below, left or right has another label.
fn is_border(labels: &[u8], at: usize, width: usize) -> bool {
    let (x, label) = (at % width, labels[at]);
    let left = x > 0 && labels[at - 1] != label;
    let right = x + 1 < width && labels[at + 1] != label;
    let above = at >= width && labels[at - width] != label;
    let below = at + width < labels.len() && labels[at + width] != label;
    left || right || above || below
}

/// Draws scores (row-major, 0 to 1, clamped) over `image`, from violet to yellow: the higher, the brighter and the
/// more opaque.
///
/// # Errors
/// When the sizes differ.
pub fn draw_heat(image: &RgbImage, scores: &[f32]) -> Result<RgbImage> {
    expect_pixels("scores", image, scores.len())?;
    let mut drawn = image.clone();
    for (pixel, score) in drawn.pixels_mut().zip(scores) {
        let score = if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) };
        blend(pixel, score_color(score), HEAT[0] + (HEAT[1] - HEAT[0]) * score);
    }
    Ok(drawn)
}

fn blend(pixel: &mut Rgb<u8>, color: [u8; 3], share: f32) {
    for (value, color) in pixel.0.iter_mut().zip(color) {
        *value = (f32::from(*value) * (1.0 - share) + f32::from(color) * share).round() as u8;
    }
}

fn expect_pixels(what: &str, image: &RgbImage, got: usize) -> Result<()> {
    let expected = image.width() as usize * image.height() as usize;
    if got == expected {
        return Ok(());
    }
    let size = format!("{} x {}", image.width(), image.height());
    Err(Error::value(what, format!("expected {expected} for an image of {size}, got {got}")).into())
}
