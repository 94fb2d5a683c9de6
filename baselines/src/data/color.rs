//! Changes of the colours of a whole image with Pillow's roundings, which are part of the result.
//!
//! The loops have no branch and mix single and double precision exactly as Pillow does, so that they run on vectors.

use pulp::{Arch, Simd, WithSimd};

use crate::data::planes::Planes;

/// Moves all values towards one level (factor 0) or away from it (above 1). Pillow: `Image.blend`.
pub(super) fn blend_with(image: &mut Planes, factor: f64, level: u8) {
    let factor = factor as f32;
    let table: [u8; 256] = std::array::from_fn(|value| blend(f32::from(level), value as f32, factor));
    for value in image.values_mut() {
        *value = table[usize::from(*value)];
    }
}

/// Moves each pixel towards its gray, or away from it. Pillow: `ImageEnhance.Color`.
pub(super) fn blend_with_gray(image: &mut Planes, factor: f64) {
    let factor = factor as f32;
    let Some(colors) = image.colors_mut() else { return };
    Arch::new().dispatch(BlendColors { colors, factor });
}

/// Mean of the grays, rounded.
pub(super) fn mean_gray(image: &Planes) -> u8 {
    let Some(colors) = image.colors() else { return 0 };
    let sum = Arch::new().dispatch(SumGrays { colors });
    let count = image.width as f64 * image.height as f64;
    (sum as f64 / count + 0.5) as u8
}

/// Turns the hue of each pixel by so many circles. PyTorch: `adjust_hue` on a Pillow image.
pub(super) fn turn_hue(image: &mut Planes, turn: f64) {
    let steps = (turn * 255.0) as i32 as u8;
    let Some(colors) = image.colors_mut() else { return };
    Arch::new().dispatch(TurnHues { colors, steps });
}

#[inline(always)]
fn blend(from: f32, to: f32, factor: f32) -> u8 {
    truncated(f64::from((from + factor * (to - from)).clamp(0.0, 255.0))) as u8
}

/// ITU-R 601 luma in 16 bit fixed point.
#[inline(always)]
fn gray(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

// Structures and not closures: only what is inlined here is compiled for the vectors at hand, and closures need not be.

struct BlendColors<'a> {
    colors: [&'a mut [u8]; 3],
    factor: f32,
}

impl WithSimd for BlendColors<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [red, green, blue] = self.colors;
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let from = f32::from(gray(*r, *g, *b));
            *r = blend(from, f32::from(*r), self.factor);
            *g = blend(from, f32::from(*g), self.factor);
            *b = blend(from, f32::from(*b), self.factor);
        }
    }
}

struct SumGrays<'a> {
    colors: [&'a [u8]; 3],
}

impl WithSimd for SumGrays<'_> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> u64 {
        // Sums of 32 bit hold 2^24 grays; a chunk stays far below.
        const CHUNK: usize = 1 << 16;
        let [red, green, blue] = self.colors.map(|plane| plane.chunks(CHUNK));
        let mut total = 0;
        for ((red, green), blue) in red.zip(green).zip(blue) {
            let mut sum = 0;
            for ((r, g), b) in red.iter().zip(green).zip(blue) {
                sum += u32::from(gray(*r, *g, *b));
            }
            total += u64::from(sum);
        }
        total
    }
}

struct TurnHues<'a> {
    colors: [&'a mut [u8]; 3],
    steps: u8,
}

impl WithSimd for TurnHues<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let [red, green, blue] = self.colors;
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            let [hue, saturation, value] = to_hsv([i32::from(*r), i32::from(*g), i32::from(*b)]);
            let turned = to_rgb([(hue + i32::from(self.steps)) & 255, saturation, value]);
            *r = turned[0] as u8;
            *g = turned[1] as u8;
            *b = turned[2] as u8;
        }
    }
}

/// Hue, saturation and value, 0 to 255 each.
#[inline(always)]
fn to_hsv([r, g, b]: [i32; 3]) -> [i32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    // A gray has range 0; what is computed for it is dropped below.
    let range = (most - least) as f32;
    let divisor = range.max(1.0);
    let is_red = r == most;
    let is_green = !is_red & (g == most);
    // The channels that are neighbours of the largest one on the circle. One of them is the smallest, so that each of
    // these sums rounds once only.
    let ahead = if is_red {
        b
    } else if is_green {
        r
    } else {
        g
    };
    let behind = if is_red {
        g
    } else if is_green {
        b
    } else {
        r
    };
    let start = if is_red {
        0.0
    } else if is_green {
        2.0
    } else {
        4.0
    };
    let below = |value: i32| f64::from((most - value) as f32 / divisor);
    let sector = (start + below(ahead) - below(behind)) as f32;
    let circle = f64::from(sector) / 6.0 + 1.0;
    let hue = (if circle >= 1.0 { circle - 1.0 } else { circle }) as f32;
    let saturation = range / most.max(1) as f32;
    // A gray's saturation is 0 by itself.
    let hue = if most == least { 0 } else { truncated(f64::from(hue) * 255.0) };
    [hue, truncated(f64::from(saturation) * 255.0), most]
}

#[inline(always)]
fn to_rgb([hue, saturation, value]: [i32; 3]) -> [i32; 3] {
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = truncated(position);
    let rest = (position - f64::from(sector)) as f32;
    let share = (f64::from(saturation) / 255.0) as f32;
    // Half up is half away from zero: none is negative.
    let scaled = |share: f64| truncated(f64::from(value) * share + 0.5);
    let low = scaled(1.0 - f64::from(share));
    let rising = f64::from(share) * (1.0 - f64::from(rest));
    let falling = f64::from(share * rest);
    let middle = scaled(1.0 - if sector & 1 == 0 { rising } else { falling });
    let pick = |most: [i32; 2], between: [i32; 2]| {
        let is = |sectors: [i32; 2]| (sector == sectors[0]) | (sector == sectors[1]);
        if is(most) {
            value
        } else if is(between) {
            middle
        } else {
            low
        }
    };
    // Hue 255 is sector 6, which is red like sector 0 and has no rest.
    let red = pick([0, 5], [1, 4]);
    let red = if sector == 6 { value } else { red };
    let green = pick([1, 2], [0, 3]);
    let green = if sector == 6 { middle } else { green };
    [red, green, pick([3, 4], [2, 5])]
}

/// Without its fraction; for numbers from 0 to 255.
#[inline(always)]
fn truncated(number: f64) -> i32 {
    // Added to this power of two, a number is rounded and its bits end in the integer; the plain cast, which has to be
    // right for every number, takes several times as long.
    const SHIFT: f64 = (1u64 << 52) as f64;
    let shifted = number + SHIFT;
    let above = shifted - SHIFT > number;
    shifted.to_bits() as i32 - i32::from(above)
}
