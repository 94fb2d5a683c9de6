//! Settings of the generator: how many images, and how strong each cue and each nuisance is.

use serde::{Deserialize, Serialize};

use super::world::MAX_CLASSES;
use crate::error::Result;

/// What is generated. Every strength acts on one thing only, and 0 switches that thing off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthConfig {
    /// Seed of the images.
    pub seed: u64,
    /// Which world of classes: emblems, hues, textures, contexts and names. Another family has other classes.
    pub family: u64,
    /// Foreground classes, 1 to 60.
    pub classes: usize,
    /// Images of split `train`, at least 1.
    pub train: usize,
    /// Images of split `val`; with 0 there is no such split.
    pub val: usize,
    /// Smallest and largest side, pixels; width and height are drawn separately.
    pub size: [usize; 2],

    /// Most objects of an image; 1 is the most frequent number.
    pub max_objects: usize,
    /// Probability that a further object is of another class than the first.
    pub second_class: f64,
    /// Smallest and largest length of an object, as part of the image's shorter side.
    pub object_scale: [f64; 2],

    /// Area of the discriminative part as part of the object's, 0.02 to 0.5.
    pub part_share: f64,
    /// How much the part stands out from the body: 0 not at all, 1 in full contrast.
    pub part_contrast: f64,
    /// How much the hue of a body tells the two classes of a pair apart: 0 not at all, 1 as much as it tells pairs.
    pub body_class_evidence: f64,
    /// How much the texture of a body tells the two classes of a pair apart: 0 not at all, 1 clearly.
    pub texture_evidence: f64,
    /// Contrast of the texture.
    pub texture_contrast: f64,
    /// Standard deviation of a body's hue around that of its class, as part of the colour circle.
    pub hue_noise: f64,
    /// Standard deviation of a body's brightness and saturation.
    pub brightness_noise: f64,
    /// Light and dark side of a body.
    pub shading: f64,

    /// Probability that the context is the one the first object's class is tied to; drawn from all otherwise.
    pub context_cooccurrence: f64,
    /// How much contexts differ in tint: 0 not at all.
    pub context_contrast: f64,
    /// Things of no class in the background, some in the hues of bodies: 0 none, 1 many.
    pub clutter: f64,
    /// Things of no class in front of the objects: 0 none, 1 nearly always.
    pub occlusion: f64,

    /// Changes of brightness, contrast and tint of the whole image.
    pub light: f64,
    /// Standard deviation of the sensor's noise, as part of full intensity.
    pub noise: f64,
    /// Cells of the saliency detector, as part of the image's shorter side: 0 one pixel.
    pub saliency_coarseness: f64,
    /// Probability that the saliency detector misses an object that is neither large nor unlike its surroundings; one
    /// that is both it always finds.
    pub saliency_misses: f64,
    /// Probability that it finds a thing of no class that is unlike its surroundings, in front or in the background.
    pub saliency_distractors: f64,
    /// Blotches of error in the saliency maps: 0 none, 1 nothing else.
    pub saliency_error: f64,
    /// Quality of the JPEG files, 1 to 100.
    pub jpeg_quality: u8,
}

impl Default for SynthConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            family: 0,
            classes: 8,
            train: 240,
            val: 60,
            size: [80, 112],
            max_objects: 3,
            second_class: 0.5,
            object_scale: [0.45, 0.9],
            part_share: 0.13,
            part_contrast: 0.9,
            body_class_evidence: 0.5,
            texture_evidence: 0.5,
            texture_contrast: 0.3,
            hue_noise: 0.04,
            brightness_noise: 0.1,
            shading: 0.4,
            context_cooccurrence: 0.7,
            context_contrast: 0.7,
            clutter: 0.5,
            occlusion: 0.5,
            light: 0.2,
            noise: 0.03,
            saliency_coarseness: 0.1,
            saliency_misses: 0.5,
            saliency_distractors: 0.5,
            saliency_error: 0.4,
            jpeg_quality: 92,
        }
    }
}

impl SynthConfig {
    /// Checks the ranges.
    ///
    /// # Errors
    /// Naming the field out of its range.
    pub fn validate(&self) -> Result<()> {
        let bad = |field: &str, reason: String| Err(candle_wsss::Error::config(field, reason).into());
        if !(1..=MAX_CLASSES).contains(&self.classes) {
            return bad("classes", format!("must be 1 to {MAX_CLASSES}, is {}", self.classes));
        }
        if self.train == 0 {
            return bad("train", "must be at least 1, is 0".to_string());
        }
        let [low, high] = self.size;
        if low < MIN_SIDE || low > high || high > MAX_SIDE {
            let reason =
                format!("must be two sides from {MIN_SIDE} to {MAX_SIDE}, the smaller first; is [{low}, {high}]");
            return bad("size", reason);
        }
        if !(1..=MAX_OBJECTS).contains(&self.max_objects) {
            return bad("max_objects", format!("must be 1 to {MAX_OBJECTS}, is {}", self.max_objects));
        }
        let [low, high] = self.object_scale;
        if !(low >= 0.2 && low <= high && high <= 1.0) {
            return bad(
                "object_scale",
                format!("must be two lengths from 0.2 to 1, the smaller first; is [{low}, {high}]"),
            );
        }
        if !(1..=100).contains(&self.jpeg_quality) {
            return bad("jpeg_quality", format!("must be 1 to 100, is {}", self.jpeg_quality));
        }
        for (field, value, [low, high]) in self.strengths() {
            if !(low..=high).contains(&value) {
                return bad(field, format!("must be {low} to {high}, is {value}"));
            }
        }
        Ok(())
    }

    fn strengths(&self) -> [(&'static str, f64, [f64; 2]); 19] {
        const SHARE: [f64; 2] = [0.0, 1.0];
        [
            ("second_class", self.second_class, SHARE),
            ("part_share", self.part_share, [0.02, 0.5]),
            ("part_contrast", self.part_contrast, SHARE),
            ("body_class_evidence", self.body_class_evidence, SHARE),
            ("texture_evidence", self.texture_evidence, SHARE),
            ("texture_contrast", self.texture_contrast, SHARE),
            ("hue_noise", self.hue_noise, SHARE),
            ("brightness_noise", self.brightness_noise, SHARE),
            ("shading", self.shading, SHARE),
            ("context_cooccurrence", self.context_cooccurrence, SHARE),
            ("context_contrast", self.context_contrast, SHARE),
            ("clutter", self.clutter, SHARE),
            ("occlusion", self.occlusion, SHARE),
            ("light", self.light, SHARE),
            ("noise", self.noise, SHARE),
            ("saliency_coarseness", self.saliency_coarseness, SHARE),
            ("saliency_misses", self.saliency_misses, SHARE),
            ("saliency_distractors", self.saliency_distractors, SHARE),
            ("saliency_error", self.saliency_error, SHARE),
        ]
    }
}

/// Below it a part has no pixel to show a pattern with.
const MIN_SIDE: usize = 48;
const MAX_SIDE: usize = 4096;
const MAX_OBJECTS: usize = 8;
