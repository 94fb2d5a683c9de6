//! Where objects live: ground and sky in the look of a context, and things of no class lying about.

use std::f32::consts::TAU;

use super::config::SynthConfig;
use super::draw::Draws;
use super::paint::{Canvas, Layer, Texel, ValueNoise, hsv, inside, mix, scaled};
use super::world::{ContextLook, GroundTexture, World};
use crate::error::Result;

/// Paints the empty scene of a context.
pub(super) fn paint(look: &ContextLook, (width, height): (usize, usize), draws: &mut Draws) -> Result<Canvas> {
    let noise = ValueNoise::new(draws)?;
    let mut vary = |[hue, saturation, value]: [f32; 3]| -> Result<[f32; 3]> {
        Ok(hsv(hue + 0.02 * draws.normal()?, saturation, value + 0.05 * draws.normal()?))
    };
    let (ground, sky) = (vary(look.ground)?, vary(look.sky)?);
    let horizon = draws.range(0.15, 0.45)? * height as f32;
    let shift = draws.range(0.0, 30.0)?;
    // Pixels of a typical detail of the ground.
    let detail = 0.06 * width.min(height) as f32 / look.frequency;
    let pixels = (0..width * height)
        .map(|i| {
            let (x, y) = ((i % width) as f32, (i / width) as f32);
            let edge = horizon + 2.0 * detail * (noise.at(0.6 * x / detail + shift, 3.0) - 0.5);
            if y < edge {
                let clouds = noise.rough(0.3 * x / detail, 0.6 * y / detail + shift);
                return scaled(mix(sky, [1.0; 3], 0.35 * y / edge), 0.85 + 0.3 * clouds);
            }
            // Details grow towards the viewer.
            let near = (y - edge) / (height as f32 - edge);
            let size = detail * (0.7 + 0.6 * near);
            let texture = grain(look.texture, &noise, x / size + shift, y / size);
            scaled(ground, 0.7 + 0.45 * texture + 0.15 * near)
        })
        .collect();
    Ok(Canvas { width, height, pixels })
}

/// Brightness of the ground, 0 to 1.
fn grain(texture: GroundTexture, noise: &ValueNoise, x: f32, y: f32) -> f32 {
    let wave = |at: f32| 0.5 + 0.5 * (TAU * at).sin();
    match texture {
        GroundTexture::Blades => noise.rough(2.2 * x, 0.35 * y),
        GroundTexture::Waves => 0.7 * wave(0.7 * y + 1.2 * noise.at(0.4 * x, 0.7 * y)) + 0.3 * noise.at(x, y),
        GroundTexture::Blotches => noise.rough(0.7 * x, 0.7 * y),
        GroundTexture::Pebbles => {
            let stone = noise.at(1.6 * x, 1.6 * y);
            0.4 * noise.at(0.5 * x, 0.5 * y) + 0.6 * stone * stone * 1.6
        }
        GroundTexture::Furrows => 0.6 * wave(0.45 * (x + y) + noise.at(0.4 * x, 0.4 * y)) + 0.4 * noise.rough(x, y),
    }
}

/// Scatters soft things of no class over the background, half of them in the hue of some class's body: hue alone must
/// not tell an object from its surroundings. Says where they are: per pixel 0, or `k + 1` for thing `k`.
pub(super) fn scatter(canvas: &mut Canvas, config: &SynthConfig, world: &World, draws: &mut Draws) -> Result<Vec<u16>> {
    let mut scattered = vec![0; canvas.pixels.len()];
    let side = canvas.width.min(canvas.height) as f32;
    let count = (config.clutter as f32 * draws.range(4.0, 14.0)?).round() as usize;
    for thing in 0..count {
        let hue = if draws.chance(0.5)? {
            world.classes[draws.below(world.classes.len())?].hue + config.hue_noise as f32 * draws.normal()?
        } else {
            draws.unit()?
        };
        let color = hsv(hue, draws.range(0.2, 0.6)?, draws.range(0.3, 0.75)?);
        let radius = side * draws.range(0.03, 0.1)?;
        let blob = Blob::draw(radius, draws.range(0.15, 0.5)?, draws.range(0.5, 0.95)?, draws)?;
        let (x, y) = (draws.unit()? * canvas.width as f32, draws.range(0.3, 1.0)? * canvas.height as f32);
        let layer = blob.paint(color);
        let offset = layer.offset(x, y);
        canvas.lay(&layer, offset);
        let size = (canvas.width, canvas.height);
        for at in layer.solid().filter_map(|(x, y, _)| inside(size, (x, y), offset)) {
            scattered[at] = thing as u16 + 1;
        }
    }
    Ok(scattered)
}

/// A thing of no class to stand in front of the objects: a post, or a bush.
pub(super) fn occluder(look: &ContextLook, (width, height): (usize, usize), draws: &mut Draws) -> Result<Layer> {
    let side = width.min(height) as f32;
    let [hue, saturation, _] = look.ground;
    if draws.chance(0.5)? {
        let color = hsv(0.08 + 0.05 * draws.normal()?, draws.range(0.1, 0.45)?, draws.range(0.2, 0.6)?);
        let (half, lean) = (side * draws.range(0.02, 0.045)?, 0.12 * draws.normal()?);
        let noise = ValueNoise::new(draws)?;
        return Ok(Layer::square(1.3 * height as f32, |right, down| {
            let across = right - lean * down;
            let round = (1.0 - (across / half).powi(2)).max(0.0).sqrt();
            let bark = noise.rough(1.5 * across / half, 0.4 * down / half);
            let color = scaled(color, 0.5 + 0.5 * round + 0.4 * (bark - 0.5));
            Texel { alpha: (half - across.abs() + 0.5).clamp(0.0, 1.0), color, is_part: false }
        }));
    }
    let color =
        hsv(hue + 0.06 * draws.normal()?, saturation.max(0.25) + draws.range(0.0, 0.2)?, draws.range(0.2, 0.45)?);
    let radius = side * draws.range(0.08, 0.16)?;
    Ok(Blob::draw(radius, 0.08, 1.0, draws)?.paint(color))
}

/// A roundish thing with a bumpy edge.
struct Blob {
    radius: f32,
    flatness: f32,
    /// Width of the soft edge, part of the radius.
    softness: f32,
    opacity: f32,
    noise: ValueNoise,
}

impl Blob {
    fn draw(radius: f32, softness: f32, opacity: f32, draws: &mut Draws) -> Result<Self> {
        Ok(Self { radius, flatness: draws.range(0.6, 1.3)?, softness, opacity, noise: ValueNoise::new(draws)? })
    }

    fn paint(&self, color: [f32; 3]) -> Layer {
        let radius = self.radius;
        Layer::square(1.8 * radius, |right, down| {
            let (x, y) = (right / radius, down / radius * self.flatness);
            let bumps = 0.75 + 0.5 * self.noise.rough(2.5 * x + 9.0, 2.5 * y + 9.0);
            let edge = (1.0 - x.hypot(y) / bumps) / self.softness.max(1.0 / radius) + 0.5;
            let leaves = 0.65 + 0.5 * self.noise.rough(6.0 * x, 6.0 * y) - 0.2 * y;
            Texel { alpha: self.opacity * edge.clamp(0.0, 1.0), color: scaled(color, leaves), is_part: false }
        })
    }
}
