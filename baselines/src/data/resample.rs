//! Resizing of 8 bit images, bit for bit as Pillow does it: the released networks were trained on its output.
//!
//! With `scale = n_in / n_out`, `s = max(scale, 1)` and the filter's reach `r` (1 bilinear, 2 bicubic), output `x` is
//! the mean of inputs `i` around `c = (x + 1/2) scale`, weighted by `f((i + 1/2 - c) / s)` over `|i + 1/2 - c| < r s`.
//! Weights are 22 bit fixed point; rows are resized first and rounded to 8 bit, then columns.
//!
//! Checked against Pillow 9.5. Pillow 13 resizes columns first for some pairs of sizes, which moves single values by 1.

use image::{ImageBuffer, Pixel};

/// How neighbours are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// Triangle. Pillow: `BILINEAR`.
    Bilinear,
    /// Keys' cubic with `a = -1/2`. Pillow: `BICUBIC`.
    Bicubic,
}

impl Filter {
    const fn reach(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    fn weight(self, x: f64) -> f64 {
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear if x < 1.0 => 1.0 - x,
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            _ => 0.0,
        }
    }
}

/// Resizes an image. Bit-equal to Pillow's `Image.resize`. A side of 0 is taken as 1.
pub fn resize<P: Pixel<Subpixel = u8>>(
    image: &ImageBuffer<P, Vec<u8>>,
    width: usize,
    height: usize,
    filter: Filter,
) -> ImageBuffer<P, Vec<u8>> {
    let (old_width, old_height) = (image.width() as usize, image.height() as usize);
    let channels = usize::from(P::CHANNEL_COUNT);
    let (width, height) = (width.max(1), height.max(1));
    let mut pixels = image.as_raw().clone();
    if width != old_width {
        pixels = resize_rows(&pixels, old_width, channels, &taps(old_width, width, filter));
    }
    if height != old_height {
        pixels = resize_columns(&pixels, width * channels, &taps(old_height, height, filter));
    }
    let to_u32 = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    ImageBuffer::from_raw(to_u32(width), to_u32(height), pixels)
        .unwrap_or_else(|| ImageBuffer::new(to_u32(width), to_u32(height)))
}

const PRECISION: u32 = 22;

/// The inputs an output is made of: the first one, and the fixed-point weight of it and its followers.
struct Taps {
    first: usize,
    weights: Vec<i32>,
}

fn taps(old: usize, new: usize, filter: Filter) -> Vec<Taps> {
    let scale = old as f64 / new as f64;
    let stretch = scale.max(1.0);
    // A product with the inverse, as in Pillow: the quotient can round to another weight.
    let shrink = 1.0 / stretch;
    let support = filter.reach() * stretch;
    (0..new)
        .map(|x| {
            let center = (x as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(old);
            let weights: Vec<f64> = (first..end).map(|i| filter.weight((i as f64 - center + 0.5) * shrink)).collect();
            let sum: f64 = weights.iter().sum();
            let fixed = |weight: &f64| {
                let scaled = weight / sum * f64::from(1 << PRECISION);
                (scaled + 0.5f64.copysign(scaled)) as i32
            };
            Taps { first, weights: weights.iter().map(fixed).collect() }
        })
        .collect()
}

fn resize_rows(pixels: &[u8], old_width: usize, channels: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(pixels.len() / old_width * taps.len());
    for row in pixels.chunks_exact(old_width * channels) {
        for Taps { first, weights } in taps {
            let inputs = &row[first * channels..(first + weights.len()) * channels];
            for channel in 0..channels {
                let values = inputs.iter().skip(channel).step_by(channels);
                out.push(to_byte(values.zip(weights).map(|(value, weight)| i32::from(*value) * weight).sum()));
            }
        }
    }
    out
}

fn resize_columns(pixels: &[u8], row_len: usize, taps: &[Taps]) -> Vec<u8> {
    let mut out = Vec::with_capacity(row_len * taps.len());
    let mut sums = vec![0i32; row_len];
    for Taps { first, weights } in taps {
        sums.fill(0);
        for (row, weight) in pixels[first * row_len..].chunks_exact(row_len).zip(weights) {
            for (sum, value) in sums.iter_mut().zip(row) {
                *sum += i32::from(*value) * weight;
            }
        }
        out.extend(sums.iter().map(|sum| to_byte(*sum)));
    }
    out
}

fn to_byte(sum: i32) -> u8 {
    ((sum + (1 << (PRECISION - 1))) >> PRECISION).clamp(0, 255) as u8
}
