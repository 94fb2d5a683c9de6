//! Augmentation of one image: resize, flip, colours, normalise, crop, in the order of the released SEAM code.

use candle_wsss::{Normalization, Sampler};
use image::{GrayImage, RgbImage};

use crate::data::config::{LoaderConfig, Resampling, ResizeMode};
use crate::data::jitter::{Adjustment, change_part, needs_whole_image};
use crate::data::planes::{Planes, Region};
use crate::data::resample::resize_part;
use crate::error::Result;

/// What is done to one image, all draws made.
#[derive(Clone, Debug, PartialEq)]
pub struct Augmentation {
    /// Size after resizing.
    pub resize: ResizeTo,
    /// How it is resized.
    pub resampling: Resampling,
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

/// Size of an image after resizing, pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResizeTo {
    /// Of its longer side. The shorter one keeps the aspect ratio.
    LongSide(usize),
    /// Of both.
    Square(usize),
}

impl ResizeTo {
    /// Width and height an image of the size `[width, height]` is resized to, each at least 1.
    pub fn size_of(self, [width, height]: [usize; 2]) -> [usize; 2] {
        let side = match self {
            Self::Square(side) => return [side.max(1); 2],
            Self::LongSide(side) => side,
        };
        // Halves to even, as in Python.
        let short =
            |short: usize, long: usize| ((short * side) as f64 / long as f64).round_ties_even().max(1.0) as usize;
        if width < height { [short(width, height), side.max(1)] } else { [side.max(1), short(height, width)] }
    }
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
        let resize = match config.resize {
            ResizeMode::Square => ResizeTo::Square(config.crop),
            ResizeMode::LongSide => {
                let [low, high] = config.long_side;
                ResizeTo::LongSide(low + below(sampler.fork("long_side").uniform(1)?[0], high - low))
            }
        };
        let offset = sampler.fork("crop").uniform(2)?;
        Ok(Self {
            resize,
            resampling: config.resampling,
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
        let size = self.resize.size_of([image.width() as usize, image.height() as usize]);
        let window = Window::new(self, size);
        let Resampling { image: filter, saliency: saliency_filter, pass_order } = self.resampling;
        let whole = Region::whole(size[0], size[1]);
        let pixels = if needs_whole_image(&self.adjustments) {
            change_part(resize_part(image, size, filter, pass_order, &whole), &self.adjustments, &window.part)
        } else {
            let part = resize_part(image, size, filter, pass_order, &window.part);
            let all = Region::whole(part.width, part.height);
            change_part(part, &self.adjustments, &all)
        };
        let Normalization { mean, std } = normalization;
        let tables: [_; 3] =
            std::array::from_fn(|channel| table(|value| (value / 255.0 - mean[channel]) / std[channel]));
        let saliency = saliency.map(|map| {
            let levels = resize_part(map, size, saliency_filter, pass_order, &window.part);
            window.fill(&levels, &[table(|value| value / 255.0)])
        });
        Sample { image: window.fill(&pixels, &tables), saliency }
    }
}

/// Uniform in `0..=most`, from a uniform number in `[0, 1)`.
fn below(at: f64, most: usize) -> usize {
    ((at * (most + 1) as f64) as usize).min(most)
}

fn table(f: impl Fn(f64) -> f64) -> [f32; 256] {
    std::array::from_fn(|value| f(value as f64) as f32)
}

/// The part of the resized image that lies in the square, and where.
struct Window {
    crop: usize,
    flip: bool,
    /// Before the flip.
    part: Region,
    /// Left and top in the square.
    to: [usize; 2],
}

impl Window {
    fn new(augmentation: &Augmentation, [width, height]: [usize; 2]) -> Self {
        let &Augmentation { crop, offset, flip, .. } = augmentation;
        let place = |side: usize, at: f64| {
            if side > crop { (below(at, side - crop), 0) } else { (0, below(at, crop - side)) }
        };
        let (left, top) = (place(width, offset[0]), place(height, offset[1]));
        let size = [width.min(crop), height.min(crop)];
        let first = if flip { width - left.0 - size[0] } else { left.0 };
        let part = Region { columns: first..first + size[0], rows: top.0..top.0 + size[1] };
        Self { crop, flip, part, to: [left.1, top.1] }
    }

    /// Puts the part into squares of zeros, each plane through its table.
    fn fill(&self, part: &Planes, tables: &[[f32; 256]]) -> Vec<f32> {
        let mut squares = vec![0f32; tables.len() * self.crop * self.crop];
        let planes = squares.chunks_exact_mut(self.crop * self.crop).zip(part.planes());
        for ((square, plane), table) in planes.zip(tables) {
            let rows = square.chunks_exact_mut(self.crop).skip(self.to[1]);
            for (row, values) in rows.zip(plane.chunks_exact(part.width)) {
                let row = &mut row[self.to[0]..self.to[0] + part.width];
                let numbers = values.iter().map(|value| table[usize::from(*value)]);
                if self.flip {
                    row.iter_mut().rev().zip(numbers).for_each(|(out, number)| *out = number);
                } else {
                    row.iter_mut().zip(numbers).for_each(|(out, number)| *out = number);
                }
            }
        }
        squares
    }
}
