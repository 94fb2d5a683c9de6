//! Products of the weight with tiles of the input, in registers.
//!
//! Deterministic: every result is one chain of products per block of channels, whatever tile, panel or thread it is in.

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::around::{Before, Finish};
use super::plan::{Part, Plan};
use super::tiles::{Run, Tile, Tiling, VECTORS};
use super::weight::PackedWeight;
use crate::ops::kernel::Real;
use crate::ops::vectors::Registers;

/// Results side by side in a panel of the weight, and half of that for the last one.
pub(super) const WIDE: usize = 8;
pub(super) const NARROW: usize = 4;

/// Registers that a wide panel needs.
const MANY_REGISTERS: usize = 32;

/// Positions of several images that are worked on together.
const GROUP_POSITIONS: usize = 512;

/// Bytes of a block of tiles, so that it stays in the cache of a core.
const BLOCK_BYTES: usize = 400 << 10;

/// Results side by side in a panel.
pub(super) fn panel_of<T: Real>() -> usize {
    if Registers::of::<T>().count >= MANY_REGISTERS { WIDE } else { NARROW }
}

/// What the tasks of one convolution have in common.
pub(super) struct Products<'a, T> {
    pub(super) plan: &'a Plan,
    /// Of each part of the plan; of the task's group.
    pub(super) weights: &'a [PackedWeight<T>],
    /// What is done to the source on the way in, with the place of each map among all.
    pub(super) before: Option<Before<'a, T>>,
    pub(super) finish: Finish<'a, T>,
}

/// Some images and results of one group.
pub(super) struct Task<'a, T> {
    pub(super) products: &'a Products<'a, T>,
    /// From the first map of the task's first image and group on.
    pub(super) source: &'a [T],
    /// Place of that map among all, and maps from one image to the next.
    pub(super) first_map: usize,
    pub(super) image_maps: usize,
    pub(super) images: usize,
    pub(super) panels: Range<usize>,
    /// Results of the images one after the other.
    pub(super) results: &'a mut [T],
    /// Their place among all.
    pub(super) start: usize,
}

impl<T: Real> WithSimd for Task<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        if S::REGISTER_COUNT >= MANY_REGISTERS {
            self.run::<S, WIDE, { WIDE / 2 }>(simd);
        } else {
            self.run::<S, NARROW, { NARROW / 2 }>(simd);
        }
    }
}

/// Memory of a task.
struct Workspace<T> {
    /// Tiles without gaps.
    dense: Vec<T>,
    sums: Vec<T>,
    offsets: Vec<usize>,
}

impl<T: Real> Task<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const PANEL: usize, const HALF: usize>(mut self, simd: S) {
        let (plan, lanes) = (self.products.plan, T::lanes::<S>());
        let map_len = plan.layout.len();
        let image_len = plan.channels * map_len;
        let group = (GROUP_POSITIONS / plan.plane.max(1)).clamp(1, self.images.max(1));
        let is_dense = is_dense(plan);
        // What is read as it is must not be read beyond its end, which whole vectors of the same positions are not.
        let is_in_step = plan.parts.iter().flat_map(|part| &part.taps).all(|tap| tap.offset == 0);
        let is_exact = is_in_step && plan.plane == plan.layout.plane() && plan.plane % lanes == 0;
        let is_plain = plan.layout.is_plain() && self.products.before.is_none();
        let as_is = is_plain && (group == 1 || plan.channels == self.image_maps) && (is_dense || is_exact);
        let len = if as_is { 0 } else { group * image_len + plan.layout.margin() + VECTORS * lanes };
        let mut laid_out = vec![T::zero(); len];
        let mut space = Workspace { dense: vec![], sums: vec![], offsets: vec![] };
        let mut tilings: Vec<Tiling> = Vec::new();
        for first in (0..self.images).step_by(group) {
            let images = group.min(self.images - first);
            if images < group {
                tilings.clear();
            }
            let maps = &self.source[first * self.image_maps * plan.layout.plane()..];
            if !as_is {
                self.lay_out(maps, first, images, &mut laid_out);
            }
            let source = if as_is { maps } else { &laid_out };
            for (place, part) in plan.parts.iter().enumerate() {
                if tilings.len() <= place {
                    // Results are zero to begin with.
                    let is_zero = part.taps.is_empty() && self.products.finish.keeps_zero();
                    let make = if is_dense { Tiling::dense } else { Tiling::in_place };
                    let tiling = (!is_zero).then(|| make(part, &plan.layout, images, image_len, lanes));
                    tilings.push(tiling.unwrap_or_default());
                }
                self.part::<S, PANEL, HALF>(simd, place, &tilings[place], source, first, &mut space);
            }
        }
    }

    #[inline(always)]
    fn lay_out(&self, maps: &[T], first: usize, images: usize, target: &mut [T]) {
        let plan = self.products.plan;
        let (map_len, plane) = (plan.layout.len(), plan.layout.plane());
        if map_len == 0 {
            return;
        }
        for image in 0..images {
            let maps = &maps[image * self.image_maps * plane..][..plan.channels * plane];
            let target = &mut target[image * plan.channels * map_len..];
            let place = self.first_map + (first + image) * self.image_maps;
            for ((channel, map), target) in maps.chunks_exact(plane).enumerate().zip(target.chunks_exact_mut(map_len)) {
                match self.products.before {
                    Some(before) => {
                        let before = before.of_map(place + channel);
                        plan.layout.fill(map, target, |value| before.apply(value));
                    }
                    None => plan.layout.fill(map, target, |value| value),
                }
            }
        }
    }

    #[inline(always)]
    fn part<S: Simd, const PANEL: usize, const HALF: usize>(
        &mut self,
        simd: S,
        part: usize,
        tiling: &Tiling,
        source: &[T],
        first_image: usize,
        space: &mut Workspace<T>,
    ) {
        let (plan, weight, taps) =
            (self.products.plan, &self.products.weights[part], &self.products.plan.parts[part].taps);
        let (is_dense, map_len, width) = (is_dense(plan), plan.layout.len(), VECTORS * T::lanes::<S>());
        let (longest, blocks) = (weight.longest(), weight.blocks().len());
        let at_once = (BLOCK_BYTES / (longest * width * size_of::<T>()).max(1)).clamp(1, tiling.tiles.len().max(1));
        let slots = if blocks > 1 { at_once * self.panels.len() } else { 1 };
        // With a vector to spare, so that whole vectors can be copied.
        space.sums.resize(slots * PANEL * width + width, T::zero());
        if is_dense {
            space.dense.resize(at_once * longest * width + width, T::zero());
        }
        for tiles in tiling.tiles.chunks(at_once) {
            for (block, channels) in weight.blocks().enumerate() {
                space.offsets.clear();
                let (count, len) = (channels.len(), channels.len() * taps.len());
                for tap in taps {
                    space.offsets.extend(channels.clone().map(|channel| channel * map_len + tap.offset));
                }
                if is_dense {
                    for (place, tile) in tiles.iter().enumerate() {
                        let dense = &mut space.dense[place * len * width..][..len * width + width];
                        let read = tile.taps.start * count..tile.taps.end * count;
                        copy_tile::<S, T>(tiling.runs(tile), source, &space.offsets, read, width, dense);
                    }
                    space.offsets.clear();
                    space.offsets.extend((0..len).map(|tap| tap * width));
                }
                for panel in self.panels.clone() {
                    let numbers = weight.panel(block, panel);
                    let rows = (plan.results - panel * PANEL).min(PANEL);
                    for (place, tile) in tiles.iter().enumerate() {
                        let values =
                            if is_dense { &space.dense[place * len * width..] } else { &source[tile.source..] };
                        let slot = if blocks > 1 { (panel - self.panels.start) * at_once + place } else { 0 };
                        let sums = &mut space.sums[slot * PANEL * width..][..PANEL * width + width];
                        // Taps that meet nothing but zeros are left out.
                        let read = tile.taps.start * count..tile.taps.end * count;
                        let numbers = &numbers[read.start * PANEL..read.end * PANEL];
                        let product = Product { numbers, values, offsets: &space.offsets[read], added: block > 0 };
                        if rows <= HALF {
                            product.run::<S, PANEL, HALF>(simd, tile, sums);
                        } else {
                            product.run::<S, PANEL, PANEL>(simd, tile, sums);
                        }
                        if block + 1 == blocks {
                            self.write::<S>(simd, panel * PANEL..panel * PANEL + rows, first_image, tiling, tile, sums);
                        }
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn write<S: Simd>(
        &mut self,
        simd: S,
        channels: Range<usize>,
        first_image: usize,
        tiling: &Tiling,
        tile: &Tile,
        sums: &[T],
    ) {
        let (plan, lanes, panel) = (self.products.plan, T::lanes::<S>(), self.panel_rows());
        let first = self.panels.start * panel;
        let results = (self.panels.end * panel).min(plan.results) - first;
        let is_whole = plan.parts.len() == 1;
        for (row, channel) in channels.enumerate() {
            let sums = &sums[row * tile.vectors * lanes..];
            for run in tiling.runs(tile) {
                let map = (first_image + run.image) * results + channel - first;
                let (at, whole) = (map * plan.plane + run.target, run.len.next_multiple_of(lanes));
                let sums = &sums[run.lane..];
                // Whole vectors where what comes after them in the map is written later.
                if is_whole && run.target + whole <= plan.plane {
                    let (sums, results) = (&sums[..whole], &mut self.results[at..at + whole]);
                    self.products.finish.write_vectors::<S>(simd, plan.plane, self.start + at, sums, results);
                } else {
                    let sums = &sums[..run.len];
                    let results = &mut self.results[at..];
                    self.products.finish.write(plan.plane, self.start + at, sums, results, run.step);
                }
            }
        }
    }

    fn panel_rows(&self) -> usize {
        self.products.weights[0].panel_rows()
    }
}

/// Whether tiles are copied together before they are multiplied, rather than read in place: the copy costs about as much as
/// the products of so many results, and saves those of the gaps between rows.
fn is_dense(plan: &Plan) -> bool {
    let wasted =
        |part: &Part| plan.results * plan.layout.pitch.saturating_sub(part.columns) >= COPY_COST * part.columns;
    plan.results >= MANY_RESULTS || plan.parts.first().is_some_and(wasted)
}

const MANY_RESULTS: usize = 96;
const COPY_COST: usize = 7;

/// The values of a tile for the taps it reads, one row of lanes a tap. Whole vectors are copied; what is too much is
/// overwritten by the next run, or never used.
#[inline(always)]
fn copy_tile<S: Simd, T: Real>(
    runs: &[Run],
    source: &[T],
    offsets: &[usize],
    read: Range<usize>,
    width: usize,
    tile: &mut [T],
) {
    let lanes = T::lanes::<S>();
    for (tap, &offset) in read.clone().zip(&offsets[read]) {
        for run in runs {
            let (from, to) = (run.source + offset, tap * width + run.lane);
            let whole = run.len.next_multiple_of(lanes);
            if from + whole <= source.len() {
                let source = T::vectors::<S>(&source[from..from + whole]);
                for (target, &source) in T::vectors_mut::<S>(&mut tile[to..to + whole]).iter_mut().zip(source) {
                    *target = source;
                }
            } else {
                tile[to..to + run.len].copy_from_slice(&source[from..from + run.len]);
            }
        }
    }
}

/// A panel of the weight times a tile.
struct Product<'a, T> {
    numbers: &'a [T],
    values: &'a [T],
    /// Place of the tile's values for each number.
    offsets: &'a [usize],
    /// Whether to add to the sums.
    added: bool,
}

impl<T: Real> Product<'_, T> {
    #[inline(always)]
    fn run<S: Simd, const PANEL: usize, const ROWS: usize>(&self, simd: S, tile: &Tile, sums: &mut [T]) {
        match tile.vectors {
            1 => self.sum::<S, PANEL, ROWS, 1>(simd, sums),
            2 => self.sum::<S, PANEL, ROWS, 2>(simd, sums),
            _ => self.sum::<S, PANEL, ROWS, VECTORS>(simd, sums),
        }
    }

    #[inline(always)]
    fn sum<S: Simd, const PANEL: usize, const ROWS: usize, const WIDTH: usize>(&self, simd: S, sums: &mut [T]) {
        let len = WIDTH * T::lanes::<S>();
        let mut totals = [[T::splat(simd, T::zero()); WIDTH]; ROWS];
        for (numbers, &offset) in self.numbers.as_chunks::<PANEL>().0.iter().zip(self.offsets) {
            let values = T::vectors::<S>(&self.values[offset..offset + len]);
            let values: [T::Vector<S>; WIDTH] = std::array::from_fn(|i| values[i]);
            for (totals, &number) in totals.iter_mut().zip(numbers) {
                let number = T::splat(simd, number);
                for (total, &value) in totals.iter_mut().zip(&values) {
                    *total = T::mul_add(simd, number, value, *total);
                }
            }
        }
        let sums = T::vectors_mut::<S>(&mut sums[..ROWS * len]);
        for (sums, totals) in sums.chunks_exact_mut(WIDTH).zip(totals) {
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum = if self.added { T::plus(simd, *sum, total) } else { total };
            }
        }
    }
}
