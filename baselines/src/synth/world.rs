//! A world of classes: what each looks like, where it lives, what it is called. A function of the family alone.

use std::collections::BTreeSet;

use super::config::SynthConfig;
use super::draw::Draws;
use super::emblem::{Emblem, Outline, Pattern};
use crate::error::Result;

/// Emblems are different up to so many classes.
pub(super) const MAX_CLASSES: usize = Outline::ALL.len() * Pattern::ALL.len();

/// How far apart the textures of the two classes of a pair are when they are clearly different.
const STRIPE_FREQUENCY: [f32; 2] = [1.1, 2.6];

/// The classes and contexts of a family.
#[derive(Clone, Debug)]
pub(super) struct World {
    pub(super) classes: Vec<ClassLook>,
    pub(super) contexts: Vec<ContextLook>,
}

/// What the objects of a class have in common.
#[derive(Clone, Debug)]
pub(super) struct ClassLook {
    pub(super) name: String,
    pub(super) emblem: Emblem,
    /// Mean hue of the bodies, a turn.
    pub(super) hue: f32,
    /// Stripes of a body along half its length.
    pub(super) stripe_frequency: f32,
    /// Direction of the stripes, radians.
    pub(super) stripe_angle: f32,
    /// The context the class is tied to.
    pub(super) context: usize,
}

/// What the pictures of a context have in common.
#[derive(Clone, Debug)]
pub(super) struct ContextLook {
    pub(super) ground: [f32; 3],
    pub(super) sky: [f32; 3],
    pub(super) texture: GroundTexture,
    pub(super) frequency: f32,
}

/// What the ground is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GroundTexture {
    Blades,
    Waves,
    Blotches,
    Pebbles,
    Furrows,
}

const GROUND_TEXTURES: [GroundTexture; 5] = [
    GroundTexture::Blades,
    GroundTexture::Waves,
    GroundTexture::Blotches,
    GroundTexture::Pebbles,
    GroundTexture::Furrows,
];

impl World {
    pub(super) fn new(config: &SynthConfig) -> Result<Self> {
        let draws = Draws::new(config.family).child("world");
        let pairs = config.classes.div_ceil(2);
        let names = names(config.classes, &mut draws.child("names"))?;
        let hues = pair_hues(pairs, &mut draws.child("hues"))?;
        let mut emblems = emblems(config.classes, &mut draws.child("emblems"))?.into_iter();
        let mut classes = Vec::with_capacity(config.classes);
        for (class, name) in names.into_iter().enumerate() {
            let Some(emblem) = emblems.next() else { break };
            // -1 for the first of a pair, 1 for the second.
            let member = if class % 2 == 0 { -1.0 } else { 1.0 };
            // At full evidence all classes are evenly spaced on the circle of hues.
            let apart = 0.25 / pairs as f32 * config.body_class_evidence as f32;
            let [coarse, fine] = STRIPE_FREQUENCY;
            let texture = member * config.texture_evidence as f32;
            classes.push(ClassLook {
                name,
                emblem,
                hue: hues[class / 2] + member * apart,
                stripe_frequency: 0.5 * (coarse + fine) + 0.5 * (fine - coarse) * texture,
                stripe_angle: std::f32::consts::FRAC_PI_4 * (1.0 + texture),
                // Pairs of contexts are shifted against pairs of hues: a neighbour in one is none in the other.
                context: class.div_ceil(2) % pairs,
            });
        }
        Ok(Self { classes, contexts: contexts(pairs, config, &mut draws.child("contexts"))? })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }
}

/// Evenly spaced hues in random order.
fn pair_hues(pairs: usize, draws: &mut Draws) -> Result<Vec<f32>> {
    let start = draws.unit()?;
    let order = draws.permutation(pairs)?;
    Ok(order.into_iter().map(|slot| start + slot as f32 / pairs as f32).collect())
}

fn emblems(classes: usize, draws: &mut Draws) -> Result<Vec<Emblem>> {
    let outlines = draws.permutation(Outline::ALL.len())?;
    let patterns = draws.permutation(Pattern::ALL.len())?;
    let accents = draws.permutation(classes)?;
    let start = draws.unit()?;
    (0..classes)
        .map(|class| {
            // All patterns once, then all again with the outlines moved on: no combination comes twice.
            let round = class / patterns.len();
            Ok(Emblem {
                outline: Outline::ALL[outlines[(class + round) % outlines.len()]],
                pattern: Pattern::ALL[patterns[class % patterns.len()]],
                accent: start + accents[class] as f32 / classes as f32,
                is_dark: draws.chance(0.5)?,
                turn: draws.range(-0.3, 0.3)?,
            })
        })
        .collect()
}

fn contexts(count: usize, config: &SynthConfig, draws: &mut Draws) -> Result<Vec<ContextLook>> {
    let order = draws.permutation(count)?;
    let textures = draws.permutation(GROUND_TEXTURES.len())?;
    let (ground_start, sky_start) = (draws.unit()?, draws.unit()?);
    let strength = config.context_contrast as f32;
    (0..count)
        .map(|context| {
            let hue = |start: f32| start + order[context] as f32 / count as f32;
            // Without contrast every context has the same gray.
            let muted = |base: f32, value: f32| base + (value - base) * strength;
            let ground = [hue(ground_start), strength * draws.range(0.3, 0.5)?, muted(0.5, draws.range(0.35, 0.65)?)];
            let sky = [hue(sky_start), strength * draws.range(0.15, 0.35)?, muted(0.75, draws.range(0.65, 0.9)?)];
            Ok(ContextLook {
                ground,
                sky,
                texture: GROUND_TEXTURES[textures[context % textures.len()]],
                frequency: draws.range(0.8, 1.3)?,
            })
        })
        .collect()
}

fn names(count: usize, draws: &mut Draws) -> Result<Vec<String>> {
    const ONSETS: [&str; 16] = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "v", "z", "br", "tr"];
    const VOWELS: [&str; 5] = ["a", "e", "i", "o", "u"];
    const CODAS: [&str; 6] = ["", "n", "r", "l", "x", "s"];
    let mut taken = BTreeSet::new();
    let mut names = Vec::with_capacity(count);
    while names.len() < count {
        let mut name = String::new();
        for _ in 0..2 {
            name.push_str(ONSETS[draws.below(ONSETS.len())?]);
            name.push_str(VOWELS[draws.below(VOWELS.len())?]);
        }
        name.push_str(CODAS[draws.below(CODAS.len())?]);
        if taken.insert(name.clone()) {
            names.push(name);
        }
    }
    Ok(names)
}
