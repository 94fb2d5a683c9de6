//! Augmentation of one image: resize, flip, colours, normalise, crop, in the order of the released SEAM code.

use candle_wsss::{Normalization, Sampler};
use image::{GrayImage, RgbImage, imageops};

use crate::data::config::LoaderConfig;
use crate::data::jitter::Adjustment;
use crate::data::resample::{Filter, resize};
use crate::error::Result;

/// What is done to one image, all draws made.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Longer side after resizing, pixels. The shorter one keeps the aspect ratio.
    pub long_side: usize,
    /// Whether left and right change places.
    pub flip: bool,
    /// Changes of the colours of the resized image, in order.
    pub adjustments: Vec<Adjustment>,
    /// Side of the square cut out, pixels.
    pub crop: usize,
    /// Where in the free space the square lies, `[left, top]`, each in `[0, 1)`. Along a side that is shorter than the
    /// square, the same for the image in the square; the rest of it is 0 after normalisation, the mean colour.
    pub offset: [f64; 2],
}

/// An augmented image, ready to be stacked.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// `(3, crop, crop)`, normalised.
    pub image: Vec<f32>,
    /// `(crop, crop)` in `[0, 1]`, 0 outside the image.
    pub saliency: Option<Vec<f32>>,
}

impl Augmentation {
    /// Draws an augmentation.
    ///
    /// # Errors
    /// Those of the sampler.
    pub fn draw(config: &LoaderConfig, sampler: &dyn Sampler) -> Result<Self> {
        let [low, high] = config.long_side;
        let offset = sampler.fork("crop").uniform(2)?;
        Ok(Self {
            long_side: low + below(sampler.fork("long_side").uniform(1)?[0], high - low),
            flip: config.flip && sampler.fork("flip").uniform(1)?[0] < 0.5,
            adjustments: match &config.jitter {
                Some(jitter) => jitter.draw(&*sampler.fork("jitter"))?,
                None => Vec::new(),
            },
            crop: config.crop,
            offset: [offset[0], offset[1]],
        })
    }

    /// Applies it to an image and its saliency map, in step.
    pub fn apply(&self, image: &RgbImage, saliency: Option<&GrayImage>, normalization: Normalization) -> Sample {
        let (width, height) = self.resized(image.width() as usize, image.height() as usize);
        let mut image = resize(image, width, height, Filter::Bicubic);
        let mut saliency = saliency.map(|map| resize(map, width, height, Filter::Bilinear));
        if self.flip {
            imageops::flip_horizontal_in_place(&mut image);
            if let Some(map) = &mut saliency {
                imageops::flip_horizontal_in_place(map);
            }
        }
        for adjustment in &self.adjustments {
            adjustment.apply(&mut image);
        }
        let window = Window::new(self.crop, (width, height), self.offset);
        let mut planes = vec![0f32; 3 * self.crop * self.crop];
        for (channel, plane) in planes.chunks_exact_mut(self.crop * self.crop).enumerate() {
            let (mean, std) = (normalization.mean[channel], normalization.std[channel]);
            window.cut(image.as_raw(), (channel, 3), &table(|value| (value / 255.0 - mean) / std), plane);
        }
        let saliency = saliency.map(|map| {
            let mut plane = vec![0f32; self.crop * self.crop];
            window.cut(map.as_raw(), (0, 1), &table(|value| value / 255.0), &mut plane);
            plane
        });
        Sample { image: planes, saliency }
    }

    fn resized(&self, width: usize, height: usize) -> (usize, usize) {
        let long = self.long_side;
        // Halves to even, as in Python.
        let short = |side: usize, of: usize| ((side * long) as f64 / of as f64).round_ties_even().max(1.0) as usize;
        if width < height { (short(width, height), long) } else { (long, short(height, width)) }
    }
}

/// Uniform in `0..=most`, from a uniform number in `[0, 1)`.
fn below(at: f64, most: usize) -> usize {
    ((at * (most + 1) as f64) as usize).min(most)
}

fn table(f: impl Fn(f64) -> f64) -> [f32; 256] {
    std::array::from_fn(|value| f(value as f64) as f32)
}

/// The part of the image that lies in the square, and where.
struct Window {
    crop: usize,
    row_len: usize,
    from: [usize; 2],
    to: [usize; 2],
    size: [usize; 2],
}

impl Window {
    fn new(crop: usize, (width, height): (usize, usize), offset: [f64; 2]) -> Self {
        let place = |side: usize, at: f64| {
            if side > crop { (below(at, side - crop), 0) } else { (0, below(at, crop - side)) }
        };
        let (left, top) = (place(width, offset[0]), place(height, offset[1]));
        Self {
            crop,
            row_len: width,
            from: [left.0, top.0],
            to: [left.1, top.1],
            size: [width.min(crop), height.min(crop)],
        }
    }

    /// Copies one channel of an interleaved image through a table into a plane of the square.
    fn cut(&self, pixels: &[u8], (channel, channels): (usize, usize), table: &[f32; 256], plane: &mut [f32]) {
        for row in 0..self.size[1] {
            let start = ((self.from[1] + row) * self.row_len + self.from[0]) * channels + channel;
            let target = (self.to[1] + row) * self.crop + self.to[0];
            let values = pixels[start..].iter().step_by(channels);
            for (out, value) in plane[target..target + self.size[0]].iter_mut().zip(values) {
                *out = table[usize::from(*value)];
            }
        }
    }
}
