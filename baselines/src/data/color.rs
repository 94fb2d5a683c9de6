//! Changes of the colours of a whole image with Pillow's roundings, which are part of the result.
//!
//! The loops have no branch and mix single and double precision exactly as Pillow does, so that they run on vectors.

use pulp::Arch;

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
    Arch::new().dispatch(|| blend_colors(colors, factor));
}

/// Mean of the grays, rounded.
pub(super) fn mean_gray(image: &Planes) -> u8 {
    let Some(colors) = image.colors() else { return 0 };
    let sum = Arch::new().dispatch(|| sum_grays(colors));
    let count = image.width as f64 * image.height as f64;
    (sum as f64 / count + 0.5) as u8
}

/// Turns the hue of each pixel by so many circles. PyTorch: `adjust_hue` on a Pillow image.
pub(super) fn turn_hue(image: &mut Planes, turn: f64) {
    let steps = (turn * 255.0) as i32 as u8;
    let Some(colors) = image.colors_mut() else { return };
    Arch::new().dispatch(|| turn_hues(colors, steps));
}

#[inline(always)]
fn blend(from: f32, to: f32, factor: f32) -> u8 {
    (from + factor * (to - from)).clamp(0.0, 255.0) as i32 as u8
}

/// ITU-R 601 luma in 16 bit fixed point.
#[inline(always)]
fn gray(r: u8, g: u8, b: u8) -> u8 {
    ((19595 * u32::from(r) + 38470 * u32::from(g) + 7471 * u32::from(b) + 0x8000) >> 16) as u8
}

#[inline(always)]
fn blend_colors([red, green, blue]: [&mut [u8]; 3], factor: f32) {
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        let from = f32::from(gray(*r, *g, *b));
        *r = blend(from, f32::from(*r), factor);
        *g = blend(from, f32::from(*g), factor);
        *b = blend(from, f32::from(*b), factor);
    }
}

#[inline(always)]
fn sum_grays([red, green, blue]: [&[u8]; 3]) -> u64 {
    // Sums of 32 bit hold 2^24 grays; a chunk stays far below.
    const CHUNK: usize = 1 << 16;
    let chunks = red.chunks(CHUNK).zip(green.chunks(CHUNK)).zip(blue.chunks(CHUNK));
    let sums = chunks.map(|((red, green), blue)| {
        let grays = red.iter().zip(green).zip(blue).map(|((r, g), b)| u32::from(gray(*r, *g, *b)));
        u64::from(grays.sum::<u32>())
    });
    sums.sum()
}

/// Pixels of a step of the loop below.
const BLOCK: usize = 16;

#[inline(always)]
fn turn_hues([red, green, blue]: [&mut [u8]; 3], steps: u8) {
    let mut blocks = (red.chunks_exact_mut(BLOCK), green.chunks_exact_mut(BLOCK), blue.chunks_exact_mut(BLOCK));
    while let (Some(r), Some(g), Some(b)) = (blocks.0.next(), blocks.1.next(), blocks.2.next()) {
        for ((r, g), b) in r.iter_mut().zip(g).zip(b) {
            [*r, *g, *b] = turned([*r, *g, *b], steps);
        }
    }
    let (red, green, blue) = (blocks.0.into_remainder(), blocks.1.into_remainder(), blocks.2.into_remainder());
    for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
        [*r, *g, *b] = turned([*r, *g, *b], steps);
    }
}

#[inline(always)]
fn turned(color: [u8; 3], steps: u8) -> [u8; 3] {
    let [hue, saturation, value] = to_hsv(color);
    to_rgb([(hue + i32::from(steps)) & 255, saturation, value])
}

/// Hue, saturation and value, 0 to 255 each.
#[inline(always)]
fn to_hsv([r, g, b]: [u8; 3]) -> [i32; 3] {
    let (most, least) = (r.max(g).max(b), r.min(g).min(b));
    let range = f32::from(most - least);
    // A gray has range 0; what is computed for it is dropped below.
    let divisor = range.max(1.0);
    let below = |value: u8| f32::from(most - value) / divisor;
    // One of the two neighbours of the largest channel is the smallest, so that each of these sums rounds once only.
    let (ahead, behind, offset) = if r == most {
        (b, g, 0.0)
    } else if g == most {
        (r, b, 2.0)
    } else {
        (g, r, 4.0)
    };
    let sector = (offset + f64::from(below(ahead)) - f64::from(below(behind))) as f32;
    let circle = f64::from(sector) / 6.0 + 1.0;
    let hue = (if circle >= 1.0 { circle - 1.0 } else { circle }) as f32;
    let saturation = range / f32::from(most.max(1));
    let hue = (f64::from(hue) * 255.0) as i32;
    let saturation = (f64::from(saturation) * 255.0) as i32;
    if most == least { [0, 0, i32::from(most)] } else { [hue, saturation, i32::from(most)] }
}

#[inline(always)]
fn to_rgb([hue, saturation, value]: [i32; 3]) -> [u8; 3] {
    let position = f64::from(hue) * 6.0 / 255.0;
    let sector = position as i32;
    let rest = (position - f64::from(sector)) as f32;
    let share = (f64::from(saturation) / 255.0) as f32;
    // Half up is half away from zero: none is negative.
    let scaled = |share: f64| (f64::from(value) * share + 0.5) as i32 as u8;
    let value = value as u8;
    let low = scaled(1.0 - f64::from(share));
    let rising = f64::from(share) * (1.0 - f64::from(rest));
    let falling = f64::from(share * rest);
    let middle = scaled(1.0 - if sector & 1 == 0 { rising } else { falling });
    let sector = if sector == 6 { 0 } else { sector };
    let r = if sector == 0 || sector == 5 {
        value
    } else if sector == 1 || sector == 4 {
        middle
    } else {
        low
    };
    let g = if sector == 1 || sector == 2 {
        value
    } else if sector == 0 || sector == 3 {
        middle
    } else {
        low
    };
    let b = if sector == 3 || sector == 4 {
        value
    } else if sector == 2 || sector == 5 {
        middle
    } else {
        low
    };
    [r, g, b]
}
