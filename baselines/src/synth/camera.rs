//! From a scene to an 8 bit photograph: light, tint, sensor noise.

use image::RgbImage;

use super::config::SynthConfig;
use super::draw::Draws;
use super::paint::Canvas;
use crate::error::Result;

/// Takes the picture.
pub(super) fn shoot(canvas: &Canvas, config: &SynthConfig, draws: &Draws) -> Result<RgbImage> {
    let mut light = draws.child("light");
    let strength = config.light as f32;
    let mut around = |mid: f32, spread: f32| Ok::<_, crate::Error>(mid + spread * strength * light.range(-1.0, 1.0)?);
    let gain = around(1.0, 0.9)?;
    let contrast = around(1.0, 0.9)?;
    let tint = [around(1.0, 0.4)?, around(1.0, 0.4)?, around(1.0, 0.4)?];
    let slope = [around(0.0, 0.8)?, around(0.0, 0.8)?];
    let noise = draws.child("noise").normals(3 * canvas.pixels.len())?;
    let (width, height) = (canvas.width as f32, canvas.height as f32);
    let mut bytes = Vec::with_capacity(noise.len());
    for (i, (pixel, noise)) in canvas.pixels.iter().zip(noise.chunks_exact(3)).enumerate() {
        let (x, y) = ((i % canvas.width) as f32 / width - 0.5, (i / canvas.width) as f32 / height - 0.5);
        let lit = gain * (1.0 + slope[0] * x + slope[1] * y);
        for channel in 0..3 {
            let value = 0.5 + contrast * (pixel[channel] * lit * tint[channel] - 0.5);
            let value = value + config.noise as f32 * noise[channel] as f32;
            bytes.push((255.0 * value + 0.5).clamp(0.0, 255.0) as u8);
        }
    }
    Ok(RgbImage::from_raw(canvas.width as u32, canvas.height as u32, bytes).unwrap_or_default())
}
