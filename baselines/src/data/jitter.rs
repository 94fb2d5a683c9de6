//! Colour jitter with torchvision's semantics on Pillow images, bit for bit.

use candle_wsss::Sampler;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::data::color;
use crate::data::planes::{Planes, Region};
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
        let (width, height) = (image.width() as usize, image.height() as usize);
        let mut planes = Planes::from_interleaved(image.as_raw(), width, 3, &Region::whole(width, height));
        self.change(&mut planes);
        image.copy_from_slice(&planes.to_interleaved());
    }

    /// Changes an image of three planes.
    pub(super) fn change(self, image: &mut Planes) {
        match self {
            Self::Brightness(factor) => color::blend_with(image, factor, 0),
            Self::Contrast(factor) => color::blend_with(image, factor, color::mean_gray(image)),
            Self::Saturation(factor) => color::blend_with_gray(image, factor),
            Self::Hue(turn) => color::turn_hue(image, turn),
        }
    }
}

/// Changes a part of an image of three planes. Gives the part, changed as if the whole image had been.
pub(super) fn change_part(mut image: Planes, adjustments: &[Adjustment], part: &Region) -> Planes {
    // The mean gray is that of the whole image, so all of it must have gone through what comes before.
    let last_mean = adjustments.iter().rposition(|adjustment| matches!(adjustment, Adjustment::Contrast(_)));
    let (before, after) = adjustments.split_at(last_mean.unwrap_or(0));
    for adjustment in before {
        adjustment.change(&mut image);
    }
    let mut cut = image.cut(part);
    for adjustment in after {
        match *adjustment {
            Adjustment::Contrast(factor) => color::blend_with(&mut cut, factor, color::mean_gray(&image)),
            other => other.change(&mut cut),
        }
    }
    cut
}

/// Whether any of the adjustments looks at the whole image.
pub(super) fn needs_whole_image(adjustments: &[Adjustment]) -> bool {
    adjustments.iter().any(|adjustment| matches!(adjustment, Adjustment::Contrast(_)))
}
