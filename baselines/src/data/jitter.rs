//! Colour jitter with torchvision's semantics on Pillow images, bit for bit.

use candle_wsss::Sampler;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Strengths of the colour jitter. PyTorch: `torchvision.transforms.ColorJitter`.
///
/// A factor for brightness, contrast and saturation each is uniform in `[max(0, 1 - s), 1 + s]`, the turn of the hue
/// uniform in `[-s, s]` of the full circle; they are applied in random order. Strength 0 leaves that one out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Jitter {
    /// Strength for the brightness, at least 0; 0.3 in the released code.
    pub brightness: f64,
    /// Strength for the contrast, at least 0; 0.3 in the released code.
    pub contrast: f64,
    /// Strength for the saturation, at least 0; 0.3 in the released code.
    pub saturation: f64,
    /// Strength for the hue, 0 to 0.5; 0.1 in the released code.
    pub hue: f64,
}

impl Default for Jitter {
    fn default() -> Self {
        Self { brightness: 0.3, contrast: 0.3, saturation: 0.3, hue: 0.1 }
    }
}

impl Jitter {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Naming the field out of its range.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("jitter.brightness", self.brightness, f64::INFINITY),
            ("jitter.contrast", self.contrast, f64::INFINITY),
            ("jitter.saturation", self.saturation, f64::INFINITY),
            ("jitter.hue", self.hue, 0.5),
        ];
        for (field, value, most) in fields {
            if !value.is_finite() || value < 0.0 || value > most {
                let range = if most.is_finite() { format!("0 to {most}") } else { "0 or more".to_string() };
                return Err(candle_wsss::Error::config(field, format!("must be {range}, is {value}")).into());
            }
        }
        Ok(())
    }

    /// Draws the adjustments of one image, in the order to apply them.
    ///
    /// # Errors
    /// Those of the sampler.
    pub fn draw(&self, sampler: &dyn Sampler) -> Result<Vec<Adjustment>> {
        let at = sampler.fork("strength").uniform(4)?;
        let order = sampler.fork("order").distinct(4, 4)?;
        let factor = |strength: f64, at: f64| {
            let low = (1.0 - strength).max(0.0);
            (strength > 0.0).then_some(low + (1.0 + strength - low) * at)
        };
        let turn = (self.hue > 0.0).then_some(self.hue * (2.0 * at[3] - 1.0));
        let all = [
            factor(self.brightness, at[0]).map(Adjustment::Brightness),
            factor(self.contrast, at[1]).map(Adjustment::Contrast),
            factor(self.saturation, at[2]).map(Adjustment::Saturation),
            turn.map(Adjustment::Hue),
        ];
        Ok(order.into_iter().filter_map(|which| all[which]).collect())
    }
}

/// One change of the colours of a whole image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Adjustment {
    /// Blend from black (factor 0) to the image (1) and beyond. Pillow: `ImageEnhance.Brightness`.
    Brightness(f64),
    /// Blend from the mean gray of the image. Pillow: `ImageEnhance.Contrast`.
    Contrast(f64),
    /// Blend from the gray version of the image. Pillow: `ImageEnhance.Color`.
    Saturation(f64),
    /// Turn the hue by this part of the circle, in steps of 1/256. PyTorch: `adjust_hue`.
    Hue(f64),
}

impl Adjustment {
    /// Changes the image.
    pub fn apply(self, image: &mut RgbImage) {
        match self {
            Self::Brightness(factor) => blend(image, factor as f32, |_| 0),
            Self::Contrast(factor) => {
                let mean = mean_gray(image);
                blend(image, factor as f32, |_| mean);
            }
            Self::Saturation(factor) => blend(image, factor as f32, gray),
            Self::Hue(turn) => turn_hue(image, turn),
        }
    }
}

fn blend(image: &mut RgbImage, factor: f32, from: impl Fn([u8; 3]) -> u8) {
    for pixel in image.pixels_mut() {
        let base = f32::from(from(pixel.0));
        pixel.0 = pixel.0.map(|value| (base + factor * (f32::from(value) - base)) as u8);
    }
}

/// ITU-R 601 luma in 16 bit fixed point.
fn gray([r, g, b]: [u8; 3]) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

fn mean_gray(image: &RgbImage) -> u8 {
    let sum: u64 = image.pixels().map(|pixel| u64::from(gray(pixel.0))).sum();
    let count = f64::from(image.width()) * f64::from(image.height());
    (sum as f64 / count + 0.5) as u8
}

fn turn_hue(image: &mut RgbImage, turn: f64) {
    let steps = (turn * 255.0) as i32 as u8;
    for pixel in image.pixels_mut() {
        let [hue, saturation, value] = to_hsv(pixel.0);
        pixel.0 = to_rgb([hue.wrapping_add(steps), saturation, value]);
    }
}

// Pillow's conversions, single and double precision mixed as there: the roundings are part of the result.

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "both in [0, 255]")]
fn to_hsv([r, g, b]: [u8; 3]) -> [u8; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    if most == least {
        return [0, 0, most];
    }
    let range = f32::from(most - least);
    let saturation = range / f32::from(most);
    let below = |value: u8| f32::from(most - value) / range;
    let sector = if r == most {
        below(b) - below(g)
    } else if g == most {
        (2.0 + f64::from(below(r)) - f64::from(below(b))) as f32
    } else {
        (4.0 + f64::from(below(g)) - f64::from(below(r))) as f32
    };
    let hue = ((f64::from(sector) / 6.0 + 1.0) % 1.0) as f32;
    [(f64::from(hue) * 255.0) as u8, (f64::from(saturation) * 255.0) as u8, most]
}

fn to_rgb([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    if saturation == 0 {
        return [value; 3];
    }
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = position.floor();
    let rest = (position - sector) as f32;
    let saturation = (f64::from(saturation) / 255.0) as f32;
    let scaled = |share: f64| (f64::from(value) * share).round() as u8;
    let low = scaled(1.0 - f64::from(saturation));
    let falling = scaled(1.0 - f64::from(saturation * rest));
    let rising = scaled(1.0 - f64::from(saturation) * (1.0 - f64::from(rest)));
    match sector as u8 % 6 {
        0 => [value, rising, low],
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        _ => [value, low, falling],
    }
}
