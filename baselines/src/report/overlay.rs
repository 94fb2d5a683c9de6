//! Labels and score maps drawn over photographs.

use candle_wsss::Error;
use image::{Rgb, RgbImage};

use crate::data::VOID;
use crate::error::Result;

/// Share of a class's colour inside its region.
const REGION: f32 = 0.55;
/// Share of white where there is no ground truth.
const VOIDED: f32 = 0.75;
/// Share of the heat colour at the highest score.
const HEAT: f32 = 0.75;

/// Stops of the heat ramp, lowest score first: dark blue, cyan, yellow, red.
const RAMP: [[f32; 3]; 4] = [[20.0, 20.0, 140.0], [0.0, 190.0, 230.0], [255.0, 230.0, 60.0], [225.0, 30.0, 30.0]];

/// Draws the regions of `labels` (row-major, palette convention) over `image`: half transparent, their borders opaque.
///
/// Background stays as it is; void is drawn light.
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
            VOID => blend(pixel, [255; 3], VOIDED),
            label if is_border(labels, at, width) => *pixel = Rgb(color(label)?),
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

/// Draws scores (row-major, 0 to 1, clamped) over `image`: the higher, the warmer and the more opaque.
///
/// # Errors
/// When the sizes differ.
pub fn draw_heat(image: &RgbImage, scores: &[f32]) -> Result<RgbImage> {
    expect_pixels("scores", image, scores.len())?;
    let mut drawn = image.clone();
    for (pixel, score) in drawn.pixels_mut().zip(scores) {
        let score = if score.is_nan() { 0.0 } else { score.clamp(0.0, 1.0) };
        blend(pixel, ramp(score), HEAT * (0.35 + 0.65 * score));
    }
    Ok(drawn)
}

fn ramp(score: f32) -> [u8; 3] {
    let place = score * (RAMP.len() - 1) as f32;
    let below = (place as usize).min(RAMP.len() - 2);
    let share = place - below as f32;
    std::array::from_fn(|channel| {
        (RAMP[below][channel] * (1.0 - share) + RAMP[below + 1][channel] * share).round() as u8
    })
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
