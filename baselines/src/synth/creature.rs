//! An object: a body with limbs in the look its class shares with another, and a head that is the class's own.

use std::f32::consts::{PI, TAU};

use super::config::SynthConfig;
use super::draw::Draws;
use super::emblem::{Emblem, Outline};
use super::paint::{Layer, Rgb, Texel, ValueNoise, hsv, mix, scaled};
use super::world::ClassLook;
use crate::error::Result;

/// A posed object. Lengths are in half body lengths, right and down of the body's centre, facing right.
#[derive(Clone, Debug)]
pub(super) struct Creature<'a> {
    emblem: &'a Emblem,
    coat: Coat,
    /// Pixels of half a body length.
    unit: f32,
    /// Cosine and sine of the body's tilt.
    tilt: [f32; 2],
    /// 1 facing right, -1 facing left.
    facing: f32,
    /// Half height of the body.
    depth: f32,
    /// Exponent of the superellipse: 2 an ellipse, more is boxier.
    power: f32,
    /// Amplitude and phase of the bumps of the body's outline, twice, thrice, ... around.
    bumps: [[f32; 2]; 3],
    limbs: Vec<Limb>,
    head: [f32; 2],
    head_radius: f32,
    part_contrast: f32,
}

#[derive(Clone, Debug)]
struct Limb {
    from: [f32; 2],
    to: [f32; 2],
    radius: f32,
}

#[derive(Clone, Debug)]
struct Coat {
    hue_shift: f32,
    color: Rgb,
    stripe: [f32; 2],
    phase: f32,
    contrast: f32,
    shading: f32,
    wobble: ValueNoise,
}

/// Furthest point of any object from its centre, half body lengths.
const REACH: f32 = 2.3;
/// A radius no body exceeds, whatever its bumps.
const BODY_REACH: f32 = 1.75;
/// Length of a typical object, head and tail included, half body lengths.
const LENGTH: f32 = 2.4;

impl<'a> Creature<'a> {
    /// An object of so many pixels' length.
    pub(super) fn draw(config: &SynthConfig, class: &'a ClassLook, length: f32, draws: &mut Draws) -> Result<Self> {
        let angle = 0.3 * draws.normal()?.clamp(-1.5, 1.5);
        let depth = draws.range(0.55, 0.85)?;
        let power = draws.range(1.8, 3.2)?;
        let mut bumps = [[0.0; 2]; 3];
        for (k, bump) in bumps.iter_mut().enumerate() {
            *bump = [0.09 * draws.normal()?.clamp(-1.5, 1.5) / (1.0 + 0.5 * k as f32), draws.range(0.0, TAU)?];
        }
        let limbs = draw_limbs(depth, draws)?;
        // Area of the superellipse, roughly, and of the limbs.
        let limb_area: f32 = limbs.iter().map(|limb| 1.4 * limb.radius * distance(limb.from, limb.to)).sum();
        let body_area = PI * depth * (1.0 + 0.12 * (power - 2.0)) + limb_area;
        let share = config.part_share as f32;
        // A third of the head hides body, so the rest of the object is smaller than the body by that.
        let head_area = share * body_area / (1.0 - share + 0.33 * share);
        let up = draws.range(0.1, 0.75)?;
        Ok(Self {
            emblem: &class.emblem,
            coat: Coat::draw(config, class, draws)?,
            unit: length / LENGTH,
            tilt: [angle.cos(), angle.sin()],
            facing: draws.sign()?,
            depth,
            power,
            bumps,
            limbs,
            head: [1.05 * up.cos(), -1.3 * depth * up.sin()],
            head_radius: (head_area / PI).sqrt(),
            part_contrast: config.part_contrast as f32,
        })
    }

    /// Paints it. `light` is the direction the light comes from, right and down.
    pub(super) fn paint(&self, light: [f32; 2]) -> Layer {
        Layer::square(REACH * self.unit, |right, down| {
            let (right, down) = (right / self.unit, down / self.unit);
            let [cos, sin] = self.tilt;
            let mirrored = self.facing * right;
            let (x, y) = (cos * mirrored + sin * down, cos * down - sin * mirrored);
            self.texel(x, y, light[0] * right + light[1] * down)
        })
    }

    /// The shadow at its feet, to be put where the object is.
    pub(super) fn shadow(&self) -> Layer {
        let foot = self.limbs.iter().map(|limb| limb.to[1]).fold(self.depth, f32::max);
        Layer::square(1.6 * self.unit, |right, down| {
            let (x, y) = (right / self.unit / 1.15, (down / self.unit - foot) / 0.22);
            let alpha = 0.45 * (1.0 - x.hypot(y)).clamp(0.0, 1.0).sqrt();
            Texel { alpha, color: [0.05; 3], is_part: false }
        })
    }

    fn texel(&self, x: f32, y: f32, lit: f32) -> Texel {
        let head = self.head_distance(x, y) * self.unit;
        let body = self.body_distance(x, y) * self.unit;
        let cover = |distance: f32| (0.5 - distance).clamp(0.0, 1.0);
        let alpha = cover(head.min(body));
        if alpha == 0.0 {
            return Texel::default();
        }
        let coat = self.coat.color(x, y, lit);
        let part = cover(head);
        if part == 0.0 {
            return Texel { alpha, color: coat, is_part: false };
        }
        let radius = self.head_radius;
        let (u, v) = ((x - self.head[0]) / radius, (y - self.head[1]) / radius);
        let emblem = self.emblem.color(u, v, 1.0 / (radius * self.unit), self.coat.hue_shift);
        let emblem = scaled(emblem, 1.0 + 0.4 * self.coat.shading * lit);
        Texel { alpha, color: mix(coat, mix(coat, emblem, self.part_contrast), part), is_part: part >= 0.5 }
    }

    fn head_distance(&self, x: f32, y: f32) -> f32 {
        let (x, y) = (x - self.head[0], y - self.head[1]);
        let distance = x.hypot(y);
        if distance > Outline::REACH * self.head_radius {
            return distance;
        }
        distance - self.head_radius * self.emblem.outline.radius(x.atan2(-y))
    }

    /// Distance from the body or the nearest limb, near enough to the true one to smooth the edge.
    fn body_distance(&self, x: f32, y: f32) -> f32 {
        let limbs = self.limbs.iter().map(|limb| limb.distance(x, y)).fold(f32::INFINITY, f32::min);
        let radius = x.hypot(y);
        if radius > BODY_REACH {
            return limbs.min(radius - BODY_REACH + 0.1);
        }
        let power = |value: f32| value.abs().powf(self.power);
        let level = (power(x) + power(y / self.depth)).powf(1.0 / self.power);
        let angle = y.atan2(x);
        let bumps: f32 =
            (2u8..).zip(self.bumps).map(|(k, [height, phase])| height * (f32::from(k) * angle + phase).cos()).sum();
        let body = (level / (1.0 + bumps) - 1.0) * radius / level.max(1e-6);
        limbs.min(body)
    }
}

impl Limb {
    fn distance(&self, x: f32, y: f32) -> f32 {
        let (from, to) = (self.from, self.to);
        let along = [to[0] - from[0], to[1] - from[1]];
        let length = (along[0] * along[0] + along[1] * along[1]).max(1e-6);
        let share = (((x - from[0]) * along[0] + (y - from[1]) * along[1]) / length).clamp(0.0, 1.0);
        distance([x, y], [from[0] + share * along[0], from[1] + share * along[1]]) - self.radius
    }
}

/// None to four legs and perhaps a tail, of whatever class.
fn draw_limbs(depth: f32, draws: &mut Draws) -> Result<Vec<Limb>> {
    let mut limbs = Vec::new();
    let legs = [0, 2, 3, 4, 4][draws.below(5)?];
    let (length, radius) = (draws.range(0.3, 0.55)?, draws.range(0.09, 0.15)?);
    for leg in 0..legs {
        let x = if legs == 1 { 0.0 } else { -0.68 + 1.36 * leg as f32 / (legs as f32 - 1.0) };
        let foot = x + 0.18 * draws.normal()?;
        limbs.push(Limb { from: [x, 0.5 * depth], to: [foot, depth + length], radius });
    }
    if draws.chance(0.7)? {
        let end = [-1.0 - draws.range(0.2, 0.5)?, draws.range(-0.7, 0.3)?];
        limbs.push(Limb { from: [-0.85, -0.1], to: end, radius: 0.8 * radius });
    }
    Ok(limbs)
}

fn distance(a: [f32; 2], b: [f32; 2]) -> f32 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

impl Coat {
    fn draw(config: &SynthConfig, class: &ClassLook, draws: &mut Draws) -> Result<Self> {
        let hue_shift = config.hue_noise as f32 * draws.normal()?;
        let spread = config.brightness_noise as f32;
        let saturation = 0.6 + spread * draws.normal()?;
        let value = 0.65 + spread * draws.normal()?;
        // Instances differ in their texture too, by less than the classes of a pair at full evidence.
        let frequency = class.stripe_frequency * (1.0 + 0.12 * draws.normal()?);
        let angle = class.stripe_angle + 0.15 * draws.normal()?;
        Ok(Self {
            hue_shift,
            color: hsv(class.hue + hue_shift, saturation, value),
            stripe: [frequency * angle.cos(), frequency * angle.sin()],
            phase: draws.range(0.0, TAU)?,
            contrast: config.texture_contrast as f32,
            shading: config.shading as f32,
            wobble: ValueNoise::new(draws)?,
        })
    }

    fn color(&self, x: f32, y: f32, lit: f32) -> Rgb {
        let wobble = self.wobble.rough(2.5 * x, 2.5 * y);
        let stripes = (TAU * (self.stripe[0] * x + self.stripe[1] * y) + self.phase + 3.0 * (wobble - 0.5)).sin();
        let texture = 1.0 + self.contrast * stripes + 0.2 * (wobble - 0.5);
        scaled(self.color, (texture * (1.0 + self.shading * lit)).max(0.0))
    }
}
