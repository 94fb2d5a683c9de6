//! Colours, smooth noise, and layers that are laid over each other.

use std::f32::consts::TAU;

use super::draw::Draws;
use crate::error::Result;

/// Red, green, blue, each in `[0, 1]`.
pub(super) type Rgb = [f32; 3];

/// A colour from hue (a turn, any number), saturation and value.
pub(super) fn hsv(hue: f32, saturation: f32, value: f32) -> Rgb {
    let (saturation, value) = (saturation.clamp(0.0, 1.0), value.clamp(0.0, 1.0));
    // Smooth in the hue, so that no hue is more of a plateau than another.
    [0.0, 1.0 / 3.0, 2.0 / 3.0].map(|phase| {
        let wave = 0.5 + 0.5 * (TAU * (hue - phase)).cos();
        value * (1.0 - saturation * (1.0 - smooth(wave)))
    })
}

/// `a` for `share` 0, `b` for 1.
pub(super) fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    [0, 1, 2].map(|i| a[i] + (b[i] - a[i]) * share)
}

pub(super) fn scaled(color: Rgb, factor: f32) -> Rgb {
    color.map(|value| value * factor)
}

fn smooth(x: f32) -> f32 {
    x * x * (3.0 - 2.0 * x)
}

/// Noise in `[0, 1]`, smooth over a length of 1, repeating every [`ValueNoise::CELLS`].
#[derive(Clone, Debug)]
pub(super) struct ValueNoise(Vec<f32>);

impl ValueNoise {
    const CELLS: usize = 32;

    pub(super) fn new(draws: &mut Draws) -> Result<Self> {
        Ok(Self(draws.units(Self::CELLS * Self::CELLS)?.into_iter().map(|value| value as f32).collect()))
    }

    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (column, row) = (x.floor(), y.floor());
        let (right, down) = (smooth(x - column), smooth(y - row));
        let (column, row) = (column as i32, row as i32);
        let cell = |dx: i32, dy: i32| {
            let wrapped = |at: i32| at.rem_euclid(Self::CELLS as i32) as usize;
            self.0[wrapped(row + dy) * Self::CELLS + wrapped(column + dx)]
        };
        let top = cell(0, 0) + (cell(1, 0) - cell(0, 0)) * right;
        let bottom = cell(0, 1) + (cell(1, 1) - cell(0, 1)) * right;
        top + (bottom - top) * down
    }

    /// Two octaves, for things that are not made of one size of blotch.
    pub(super) fn rough(&self, x: f32, y: f32) -> f32 {
        0.65 * self.at(x, y) + 0.35 * self.at(2.3 * x + 11.0, 2.3 * y + 5.0)
    }
}

/// A pixel of a layer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Texel {
    /// How much of the pixel it covers, 0 to 1.
    pub(super) alpha: f32,
    pub(super) color: Rgb,
    /// Whether it belongs to the discriminative part of an object.
    pub(super) is_part: bool,
}

/// A painted rectangle, mostly transparent, that can be put anywhere.
#[derive(Clone, Debug)]
pub(super) struct Layer {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) texels: Vec<Texel>,
}

impl Layer {
    /// Paints a square that reaches `reach` pixels from its centre. `paint` is given the distance from the centre,
    /// right and down, pixels.
    pub(super) fn square(reach: f32, paint: impl Fn(f32, f32) -> Texel) -> Self {
        let half = reach.ceil() as usize + 1;
        let side = 2 * half;
        let at = |i: usize| i as f32 + 0.5 - half as f32;
        let texels = (0..side * side).map(|i| paint(at(i % side), at(i / side))).collect();
        Self { width: side, height: side, texels }
    }

    /// Where the layer's left top corner goes if its centre goes to `(x, y)`.
    pub(super) fn offset(&self, x: f32, y: f32) -> [isize; 2] {
        [x.round() as isize - (self.width / 2) as isize, y.round() as isize - (self.height / 2) as isize]
    }

    /// The texels at least half covered.
    pub(super) fn solid(&self) -> impl Iterator<Item = (usize, usize, &Texel)> {
        let width = self.width;
        self.texels
            .iter()
            .enumerate()
            .filter(|(_, texel)| texel.alpha >= 0.5)
            .map(move |(i, texel)| (i % width, i / width, texel))
    }
}

/// The picture.
#[derive(Clone, Debug)]
pub(super) struct Canvas {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) pixels: Vec<Rgb>,
}

impl Canvas {
    /// Lays a layer over the picture.
    pub(super) fn lay(&mut self, layer: &Layer, offset: [isize; 2]) {
        for (i, texel) in layer.texels.iter().enumerate().filter(|(_, texel)| texel.alpha > 0.0) {
            if let Some(at) = self.index(i % layer.width, i / layer.width, offset) {
                self.pixels[at] = mix(self.pixels[at], texel.color, texel.alpha);
            }
        }
    }

    fn index(&self, x: usize, y: usize, offset: [isize; 2]) -> Option<usize> {
        inside((self.width, self.height), (x, y), offset)
    }
}

/// Index of a layer's texel in a picture, if it lies in it.
pub(super) fn inside(
    (width, height): (usize, usize),
    (x, y): (usize, usize),
    [left, top]: [isize; 2],
) -> Option<usize> {
    let (x, y) = (x.checked_add_signed(left)?, y.checked_add_signed(top)?);
    (x < width && y < height).then_some(y * width + x)
}
