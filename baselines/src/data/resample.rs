//! Resizing of 8 bit images, bit for bit as Pillow does it: the released networks were trained on its output.
//!
//! With `scale = n_in / n_out`, `s = max(scale, 1)` and the filter's reach `r` (1 bilinear, 2 bicubic), output `x` is
//! the mean of inputs `i` around `c = (x + 1/2) scale`, weighted by `f((i + 1/2 - c) / s)` over `|i + 1/2 - c| < r s`.
//! Weights are 22 bit fixed point; one direction is resized and rounded to 8 bit, then the other. Which is first moves
//! single values by 1: [`PassOrder`].
//!
//! Our own because no crate has these bits: those that resize as fast round their weights otherwise.

use std::ops::Range;

use image::{ImageBuffer, Pixel};
use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

use crate::data::planes::{Planes, Region};

/// How neighbours are weighted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Which direction is resized first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PassOrder {
    /// Always along the rows first: every Pillow up to 12, with which the released networks were trained.
    #[default]
    RowsFirst,
    /// As Pillow 13: along the columns first where the height shrinks by more than twice the pixels the width shrinks
    /// by (a width that grows shrinks by less than none).
    Pillow13,
}

impl PassOrder {
    fn is_rows_first(self, [old_width, old_height]: [usize; 2], [width, height]: [usize; 2]) -> bool {
        let shrinks = |old: usize, new: usize| old as i128 - new as i128;
        let by = shrinks(old_height, height);
        self == Self::RowsFirst || by <= 0 || by <= 2 * shrinks(old_width, width)
    }
}

/// Resizes an image, rows first. Bit-equal to the `Image.resize` of Pillow up to 12. A side of 0 is taken as 1.
pub fn resize<P: Pixel<Subpixel = u8>>(
    image: &ImageBuffer<P, Vec<u8>>,
    width: usize,
    height: usize,
    filter: Filter,
) -> ImageBuffer<P, Vec<u8>> {
    resize_in_order(image, width, height, filter, PassOrder::RowsFirst)
}

/// Resizes an image. Bit-equal to the `Image.resize` of the Pillow the order of passes is that of. A side of 0 is taken
/// as 1.
pub fn resize_in_order<P: Pixel<Subpixel = u8>>(
    image: &ImageBuffer<P, Vec<u8>>,
    width: usize,
    height: usize,
    filter: Filter,
    order: PassOrder,
) -> ImageBuffer<P, Vec<u8>> {
    let (width, height) = (width.max(1), height.max(1));
    let pixels = resize_part(image, [width, height], filter, order, &Region::whole(width, height)).to_interleaved();
    let to_u32 = |side: usize| u32::try_from(side).unwrap_or(u32::MAX);
    ImageBuffer::from_raw(to_u32(width), to_u32(height), pixels)
        .unwrap_or_else(|| ImageBuffer::new(to_u32(width), to_u32(height)))
}

/// A part of the image resized to `size` (width, height), all of whose sides are at least 1.
pub(super) fn resize_part<P: Pixel<Subpixel = u8>>(
    image: &ImageBuffer<P, Vec<u8>>,
    size: [usize; 2],
    filter: Filter,
    order: PassOrder,
    part: &Region,
) -> Planes {
    let old = [image.width() as usize, image.height() as usize];
    let channels = usize::from(P::CHANNEL_COUNT);
    if old.contains(&0) {
        return Planes::zeros(part.columns.len(), part.rows.len(), channels);
    }
    let along_rows = (size[0] != old[0]).then(|| Kernel::new(old[0], size[0], filter, &part.columns));
    let along_columns = (size[1] != old[1]).then(|| Kernel::new(old[1], size[1], filter, &part.rows));
    let Some(along_columns) = along_columns else {
        return resize_rows(image.as_raw(), old[0], channels, part, along_rows.as_ref());
    };
    // Only the rows that a row of the part is made of.
    let rows = along_columns.inputs();
    if order.is_rows_first(old, size) {
        let needed = Region { columns: part.columns.clone(), rows: rows.clone() };
        let narrow = resize_rows(image.as_raw(), old[0], channels, &needed, along_rows.as_ref());
        let mut out = Planes::zeros(part.columns.len(), part.rows.len(), channels);
        for (out, plane) in out.planes_mut().zip(narrow.planes()) {
            resize_columns(plane, narrow.width, rows.start, &along_columns, out);
        }
        out
    } else {
        let mut low = vec![0; old[0] * channels * part.rows.len()];
        resize_columns(image.as_raw(), old[0] * channels, 0, &along_columns, &mut low);
        let needed = Region { columns: part.columns.clone(), rows: 0..part.rows.len() };
        resize_rows(&low, old[0], channels, &needed, along_rows.as_ref())
    }
}

const PRECISION: u32 = 22;
const HALF: i32 = 1 << (PRECISION - 1);

/// What each output of a range is made of.
struct Kernel {
    taps: Vec<Taps>,
    /// Fixed-point weights of all outputs.
    weights: Vec<i32>,
}

/// The inputs of one output, and the weights of these.
struct Taps {
    inputs: Range<usize>,
    weights: Range<usize>,
}

impl Kernel {
    fn new(old: usize, new: usize, filter: Filter, outputs: &Range<usize>) -> Self {
        let scale = old as f64 / new as f64;
        let stretch = scale.max(1.0);
        // A product with the inverse, as in Pillow: the quotient can round to another weight.
        let shrink = 1.0 / stretch;
        let support = filter.reach() * stretch;
        let mut this = Self { taps: Vec::with_capacity(outputs.len()), weights: Vec::new() };
        let mut weights = Vec::new();
        for x in outputs.clone() {
            let center = (x as f64 + 0.5) * scale;
            let first = (center - support + 0.5).max(0.0) as usize;
            let end = ((center + support + 0.5) as usize).min(old);
            weights.clear();
            weights.extend((first..end).map(|i| filter.weight((i as f64 - center + 0.5) * shrink)));
            let sum: f64 = weights.iter().sum();
            let start = this.weights.len();
            this.weights.extend(weights.iter().map(|weight| {
                let scaled = weight / sum * f64::from(1 << PRECISION);
                (scaled + 0.5f64.copysign(scaled)) as i32
            }));
            this.taps.push(Taps { inputs: first..end, weights: start..this.weights.len() });
        }
        this
    }

    /// All inputs that take part. Both ends grow with the output.
    fn inputs(&self) -> Range<usize> {
        match (self.taps.first(), self.taps.last()) {
            (Some(first), Some(last)) => first.inputs.start..last.inputs.end,
            _ => 0..0,
        }
    }
}

/// Values that are weighted alike, side by side: so many channels of so many rows.
const LANES: usize = 8;

/// Resizes the rows of a part of an image with alternating channels; without a kernel they stay as they are.
fn resize_rows(pixels: &[u8], old_width: usize, channels: usize, part: &Region, kernel: Option<&Kernel>) -> Planes {
    let Some(kernel) = kernel else { return Planes::from_interleaved(pixels, old_width, channels, part) };
    let width = part.columns.len();
    let mut out = Planes::zeros(width, part.rows.len(), channels);
    if width == 0 {
        return out;
    }
    let at_once = LANES / channels;
    let mut columns = vec![[0; LANES]; old_width];
    let mut resized = vec![[0; LANES]; width];
    for from in part.rows.clone().step_by(at_once) {
        let rows = from..(from + at_once).min(part.rows.end);
        for (slot, row) in rows.clone().enumerate() {
            let row = &pixels[row * old_width * channels..(row + 1) * old_width * channels];
            for (column, pixel) in columns.iter_mut().zip(row.chunks_exact(channels)) {
                for (lane, value) in column[slot * channels..].iter_mut().zip(pixel) {
                    *lane = i32::from(*value);
                }
            }
        }
        Arch::new().dispatch(WeighColumns { columns: &columns, kernel, out: &mut resized });
        for (channel, plane) in out.planes_mut().enumerate() {
            let rows = plane.chunks_exact_mut(width).skip(from - part.rows.start).take(rows.len());
            for (slot, row) in rows.enumerate() {
                for (value, lanes) in row.iter_mut().zip(&resized) {
                    *value = lanes[slot * channels + channel];
                }
            }
        }
    }
    out
}

// Structures and not closures: only what is inlined here is compiled for the vectors at hand, and closures need not be.

struct WeighColumns<'a> {
    columns: &'a [[i32; LANES]],
    kernel: &'a Kernel,
    out: &'a mut [[u8; LANES]],
}

impl WithSimd for WeighColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (out, taps) in self.out.iter_mut().zip(&self.kernel.taps) {
            let weights = &self.kernel.weights[taps.weights.clone()];
            let mut sums = [HALF; LANES];
            for (column, weight) in self.columns[taps.inputs.clone()].iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(column) {
                    *sum += value * weight;
                }
            }
            for (value, sum) in out.iter_mut().zip(sums) {
                *value = to_byte(sum);
            }
        }
    }
}

/// Resizes the columns of rows of any kind, the first of which is row `first_row` to the kernel.
fn resize_columns(pixels: &[u8], row_len: usize, first_row: usize, kernel: &Kernel, out: &mut [u8]) {
    if row_len == 0 {
        return;
    }
    for (out, taps) in out.chunks_exact_mut(row_len).zip(&kernel.taps) {
        let inputs = taps.inputs.start - first_row..taps.inputs.end - first_row;
        let rows = &pixels[inputs.start * row_len..inputs.end * row_len];
        Arch::new().dispatch(WeighRows { rows, weights: &kernel.weights[taps.weights.clone()], out });
    }
}

/// So many sums stay in registers.
const BLOCK: usize = 32;

struct WeighRows<'a> {
    rows: &'a [u8],
    weights: &'a [i32],
    out: &'a mut [u8],
}

impl WithSimd for WeighRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { rows, weights, out } = self;
        let row_len = out.len();
        let mut blocks = out.chunks_exact_mut(BLOCK);
        for (index, block) in blocks.by_ref().enumerate() {
            let mut sums = [HALF; BLOCK];
            for (row, weight) in rows.chunks_exact(row_len).zip(weights) {
                for (sum, value) in sums.iter_mut().zip(&row[index * BLOCK..(index + 1) * BLOCK]) {
                    *sum += i32::from(*value) * weight;
                }
            }
            for (value, sum) in block.iter_mut().zip(sums) {
                *value = to_byte(sum);
            }
        }
        let rest = blocks.into_remainder();
        let start = row_len - rest.len();
        for (offset, value) in rest.iter_mut().enumerate() {
            let mut sum = HALF;
            for (row, weight) in rows.chunks_exact(row_len).zip(weights) {
                sum += i32::from(row[start + offset]) * weight;
            }
            *value = to_byte(sum);
        }
    }
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}
