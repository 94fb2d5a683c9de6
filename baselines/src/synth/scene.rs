//! One scene: context, clutter, objects and what stands in front of them, with who owns which pixel.

use super::config::SynthConfig;
use super::context;
use super::creature::Creature;
use super::draw::Draws;
use super::paint::{Canvas, Layer, inside};
use super::world::World;
use crate::error::Result;

/// Least part of an object, and of its discriminative part, that must stay inside the image and in view.
const LEAST_IN_VIEW: f32 = 0.5;
/// Places tried before a thing is left out.
const TRIES: usize = 16;

/// A painted scene.
#[derive(Clone, Debug)]
pub(super) struct Scene {
    pub(super) canvas: Canvas,
    /// Per pixel 0 for the background, `k + 1` for thing `k`.
    pub(super) owner: Vec<u16>,
    /// Per pixel 0, or `k + 1` for thing `k` of those that lie about in the background, seen or hidden.
    pub(super) scattered: Vec<u16>,
    pub(super) things: Vec<Thing>,
    pub(super) is_usual_context: bool,
}

/// An object, or with no class something in front of it. Areas in pixels.
#[derive(Clone, Debug)]
pub(super) struct Thing {
    pub(super) class: Option<usize>,
    pub(super) area: usize,
    pub(super) visible: usize,
    pub(super) part_area: usize,
    pub(super) part_visible: usize,
}

impl Thing {
    fn is_in_view(&self, lost: [usize; 2]) -> bool {
        let enough = |all: usize, left: usize| left as f32 >= LEAST_IN_VIEW * all as f32;
        self.class.is_none()
            || (enough(self.area, self.visible - lost[0]) && enough(self.part_area, self.part_visible - lost[1]))
    }
}

impl Scene {
    /// The scene of a stream of draws, with an object of class `first`.
    pub(super) fn draw(config: &SynthConfig, world: &World, first: usize, draws: &Draws) -> Result<Self> {
        let mut layout = draws.child("layout");
        let [low, high] = config.size;
        let mut side = || Ok::<_, crate::Error>(low + layout.below(high - low + 1)?);
        let size = (side()?, side()?);
        let usual = world.classes[first].context;
        let context =
            if layout.chance(config.context_cooccurrence)? { usual } else { layout.below(world.contexts.len())? };
        let look = &world.contexts[context];
        let mut canvas = context::paint(look, size, &mut draws.child("context"))?;
        let scattered = context::scatter(&mut canvas, config, world, &mut draws.child("clutter"))?;
        let is_usual_context = context == usual;
        let owner = vec![0; size.0 * size.1];
        let mut scene = Self { canvas, owner, scattered, things: Vec::new(), is_usual_context };
        scene.add_objects(config, world, first, draws)?;
        let mut front = draws.child("front");
        for probability in [config.occlusion, 0.5 * config.occlusion] {
            if front.chance(probability)? {
                let layer = context::occluder(look, size, &mut front)?;
                scene.add(None, &layer, &mut front)?;
            }
        }
        Ok(scene)
    }

    fn add_objects(&mut self, config: &SynthConfig, world: &World, first: usize, draws: &Draws) -> Result<()> {
        let mut layout = draws.child("objects");
        let mut count = 1;
        while count < config.max_objects && layout.chance(0.5)? {
            count += 1;
        }
        let [low, high] = config.object_scale.map(|scale| scale as f32);
        // More objects are smaller, or they would not fit.
        let high = low + (high - low) / (count as f32).powf(0.3);
        let side = self.canvas.width.min(self.canvas.height) as f32;
        let from = layout.range(-2.7, -0.45)?;
        let light = [from.cos(), from.sin()];
        for object in 0..count {
            let class = if object > 0 && world.classes.len() > 1 && layout.chance(config.second_class)? {
                (first + 1 + layout.below(world.classes.len() - 1)?) % world.classes.len()
            } else {
                first
            };
            let mut draws = draws.child(&format!("object/{object}"));
            let length = side * draws.range(low, high)?;
            let creature = Creature::draw(config, &world.classes[class], length, &mut draws)?;
            let layer = creature.paint(light);
            let shadow = creature.shadow();
            if let Some([x, y]) = self.find_place(&layer, Some(class), &mut draws)? {
                self.canvas.lay(&shadow, shadow.offset(x, y));
                self.put(Some(class), &layer, [x, y]);
            }
        }
        Ok(())
    }

    /// Puts a thing where it leaves enough of the others in view, if there is such a place.
    fn add(&mut self, class: Option<usize>, layer: &Layer, draws: &mut Draws) -> Result<()> {
        if let Some(place) = self.find_place(layer, class, draws)? {
            self.put(class, layer, place);
        }
        Ok(())
    }

    fn find_place(&self, layer: &Layer, class: Option<usize>, draws: &mut Draws) -> Result<Option<[f32; 2]>> {
        let (width, height) = (self.canvas.width as f32, self.canvas.height as f32);
        for _ in 0..TRIES {
            let place = [draws.range(0.1, 0.9)? * width, draws.range(0.25, 0.85)? * height];
            if self.fits(class, layer, place) {
                return Ok(Some(place));
            }
        }
        // The middle always shows the most: the first object is never left out.
        let middle = [0.5 * width, 0.5 * height];
        Ok((self.things.is_empty() || self.fits(class, layer, middle)).then_some(middle))
    }

    fn fits(&self, class: Option<usize>, layer: &Layer, place: [f32; 2]) -> bool {
        let mut lost = vec![[0, 0]; self.things.len()];
        let thing = self.survey(class, layer, place, |owner, _, was_part| {
            if let Some(owner) = owner {
                lost[owner][0] += 1;
                lost[owner][1] += usize::from(was_part);
            }
        });
        thing.is_in_view([0, 0]) && self.things.iter().zip(&lost).all(|(thing, lost)| thing.is_in_view(*lost))
    }

    fn put(&mut self, class: Option<usize>, layer: &Layer, place: [f32; 2]) {
        let mut covered = Vec::new();
        let thing = self.survey(class, layer, place, |owner, at, was_part| covered.push((owner, at, was_part)));
        self.things.push(thing);
        let id = self.things.len() as u16;
        for (owner, (at, is_part), was_part) in covered {
            if let Some(owner) = owner {
                self.things[owner].visible -= 1;
                self.things[owner].part_visible -= usize::from(was_part);
            }
            self.owner[at] = id | if is_part { PART } else { 0 };
        }
        self.canvas.lay(layer, layer.offset(place[0], place[1]));
    }

    /// Counts a layer's pixels, and names for each one in the image its present owner and whether that loses part.
    fn survey(
        &self,
        class: Option<usize>,
        layer: &Layer,
        place: [f32; 2],
        mut covers: impl FnMut(Option<usize>, (usize, bool), bool),
    ) -> Thing {
        let size = (self.canvas.width, self.canvas.height);
        let offset = layer.offset(place[0], place[1]);
        let mut thing = Thing { class, area: 0, visible: 0, part_area: 0, part_visible: 0 };
        for (x, y, texel) in layer.solid() {
            thing.area += 1;
            thing.part_area += usize::from(texel.is_part);
            if let Some(at) = inside(size, (x, y), offset) {
                thing.visible += 1;
                thing.part_visible += usize::from(texel.is_part);
                let owner = self.owner[at];
                covers(usize::from(owner & !PART).checked_sub(1), (at, texel.is_part), owner & PART != 0);
            }
        }
        thing
    }

    /// Per pixel 0 for the background, `k + 1` for thing `k`.
    pub(super) fn owners(&self) -> impl Iterator<Item = usize> {
        self.owner.iter().map(|owner| usize::from(owner & !PART))
    }
}

/// Marks pixels of a discriminative part in the owner map.
const PART: u16 = 1 << 15;
