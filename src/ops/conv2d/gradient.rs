//! The gradient of the weight: for each of its numbers, the product of a map of the input and a map that came back.
//!
//! Deterministic: each number is summed over the positions in their order, in blocks that depend on sizes only.

use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::around::Before;
use super::geometry::Geometry;
use super::plan::{Part, Plan};
use super::tiles::VECTORS;
use crate::ops::filled::filled;
use crate::ops::kernel::Real;
use crate::ops::vectors::Registers;

/// Numbers of the weight side by side, of one output channel.
const ROWS: usize = 8;

/// Positions summed before the sum is put away.
const POSITIONS: usize = 1024;

pub(super) fn weight_gradient<T: Real>(
    geometry: &Geometry,
    x: &[T],
    grad: &[T],
    before: Option<Before<'_, T>>,
) -> Vec<T> {
    let plan = Plan::forward(geometry);
    let len = geometry.outputs * geometry.depth();
    if x.is_empty() || grad.is_empty() {
        return vec![T::zero(); geometry.groups * len];
    }
    let of_group = |group| {
        let columns = Columns::new(geometry, grad, group);
        let parts: Vec<_> = split(plan.channels)
            .into_par_iter()
            .map(|channels| {
                let task = channels.clone();
                let work = Work { plan: &plan, geometry, x, before, group, channels, columns: &columns };
                Sums { values: Arch::new().dispatch(work), order: order(&plan, geometry, &task) }
            })
            .collect();
        let (lanes, taps) = (Registers::of::<T>().lanes, plan.parts[0].taps.len());
        filled(len, lanes * geometry.depth(), |vector, result| {
            if taps < geometry.taps() {
                result.fill(T::zero());
            }
            let (panel, lane) = columns.place_of(vector * lanes);
            let width = columns.panels[panel].0 * lanes;
            for sums in &parts {
                let values = &sums.values[columns.start_of(panel) * sums.order.len().next_multiple_of(ROWS)..];
                // So few numbers at a time that what is read, and once for every output channel, stays in the cache.
                for order in sums.order.chunks(TOGETHER) {
                    for (lane, result) in (lane..).zip(result.chunks_exact_mut(geometry.depth())) {
                        for &(row, column) in order {
                            result[column] = values[row * width + lane];
                        }
                    }
                }
            }
        })
    };
    let mut groups = (0..geometry.groups).map(of_group);
    let mut result = groups.next().unwrap_or_default();
    groups.for_each(|group| result.extend(group));
    result
}

/// What one task made: rows of sums, and for each number of an output channel's weight, in their order, the row of its
/// sum and its place.
struct Sums<T> {
    values: Vec<T>,
    order: Vec<(usize, usize)>,
}

fn order(plan: &Plan, geometry: &Geometry, channels: &Range<usize>) -> Vec<(usize, usize)> {
    let taps = &plan.parts[0].taps;
    let of_channel = |(index, channel): (usize, usize)| {
        let taps = taps.iter().enumerate();
        taps.map(move |(tap, at)| (tap * channels.len() + index, channel * geometry.taps() + at.place))
    };
    channels.clone().enumerate().flat_map(of_channel).collect()
}

/// Numbers that are turned together.
const TOGETHER: usize = 64;

/// Channels of each task.
fn split(channels: usize) -> Vec<Range<usize>> {
    let tasks = rayon::current_num_threads();
    let tasks = if tasks > 1 { (2 * tasks).min(channels) } else { 1 };
    (0..tasks).map(|task| channels * task / tasks..channels * (task + 1) / tasks).collect()
}

/// What came back, all output channels of a position side by side, in panels as wide as the registers.
struct Columns<T> {
    /// One panel after the other: position by position.
    panels: Vec<(usize, Vec<T>)>,
}

/// Positions turned at a time.
const TURNED: usize = 16;

impl<T: Real> Columns<T> {
    fn new(geometry: &Geometry, grad: &[T], group: usize) -> Self {
        let lanes = Registers::of::<T>().lanes;
        let (positions, outputs) = (geometry.positions(), geometry.outputs);
        let mut panels = Vec::new();
        let mut first = 0;
        while first < outputs {
            let vectors = match (outputs - first).div_ceil(lanes) {
                4 => 2,
                left => left.min(VECTORS),
            };
            let width = vectors * lanes;
            let channels = first..outputs.min(first + width);
            let mut panel = vec![T::zero(); geometry.images * positions * width];
            let turn = |(image, panel): (usize, &mut [T])| {
                let start = (image * geometry.groups + group) * outputs * positions;
                // So few positions at a time that what is written stays in the cache.
                for (block, panel) in panel.chunks_mut(TURNED * width).enumerate() {
                    for (lane, channel) in channels.clone().enumerate() {
                        let map = &grad[start + channel * positions..][..positions];
                        let map = &map[block * TURNED..];
                        for (target, &value) in panel.chunks_exact_mut(width).zip(map) {
                            target[lane] = value;
                        }
                    }
                }
            };
            panel.par_chunks_exact_mut(positions * width).enumerate().for_each(turn);
            panels.push((vectors, panel));
            first += width;
        }
        Self { panels }
    }

    /// Panel of an output channel, and its place in the panel.
    fn place_of(&self, channel: usize) -> (usize, usize) {
        let panel = (0..self.panels.len()).rfind(|&panel| self.start_of(panel) <= channel).unwrap_or(0);
        (panel, channel - self.start_of(panel))
    }

    /// The first output channel of a panel.
    fn start_of(&self, panel: usize) -> usize {
        let lanes = Registers::of::<T>().lanes;
        self.panels[..panel].iter().map(|(vectors, _)| vectors * lanes).sum()
    }

    /// Output channels with the empty lanes of the last panel.
    fn padded(&self) -> usize {
        let lanes = Registers::of::<T>().lanes;
        self.panels.iter().map(|(vectors, _)| vectors * lanes).sum()
    }
}

/// The gradient for some input channels of a group: for each panel of output channels, a row for each tap and channel.
struct Work<'a, T> {
    plan: &'a Plan,
    geometry: &'a Geometry,
    x: &'a [T],
    before: Option<Before<'a, T>>,
    group: usize,
    channels: Range<usize>,
    columns: &'a Columns<T>,
}

impl<T: Real> WithSimd for Work<'_, T> {
    type Output = Vec<T>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<T> {
        let (plan, part) = (self.plan, &self.plan.parts[0]);
        let map_len = plan.layout.len();
        let image_len = self.channels.len() * map_len;
        let group = (POSITIONS / plan.plane).clamp(1, self.geometry.images);
        let starts = (0..self.channels.len()).map(|channel| channel * map_len);
        let rows: Vec<usize> =
            part.taps.iter().flat_map(|tap| starts.clone().map(|start| start + tap.offset)).collect();
        let mut sums = vec![T::zero(); rows.len().next_multiple_of(ROWS) * self.columns.padded()];
        let mut laid_out = vec![T::zero(); group * image_len + plan.layout.margin()];
        let mut places = Places::default();
        for first in (0..self.geometry.images).step_by(group) {
            let images = group.min(self.geometry.images - first);
            self.lay_out(first, images, &mut laid_out);
            places.find(plan, self.channels.len(), images);
            for block in &places.blocks {
                let mut behind = sums.as_mut_slice();
                for (vectors, panel) in &self.columns.panels {
                    let width = vectors * T::lanes::<S>();
                    let (sums, rest) = behind.split_at_mut(rows.len().next_multiple_of(ROWS) * width);
                    behind = rest;
                    let panel = &panel[first * plan.plane * width..];
                    let items = rows.chunks(ROWS).zip(block).zip(sums.chunks_exact_mut(ROWS * width));
                    for ((rows, &list), sums) in items {
                        let sum = Sum { rows, places: &places.lists[list], values: &laid_out, panel };
                        match vectors {
                            1 => sum.add::<S, 1>(simd, sums),
                            2 => sum.add::<S, 2>(simd, sums),
                            _ => sum.add::<S, VECTORS>(simd, sums),
                        }
                    }
                }
            }
        }
        sums
    }
}

impl<T: Real> Work<'_, T> {
    #[inline(always)]
    fn lay_out(&self, first: usize, images: usize, target: &mut [T]) {
        let (plan, geometry) = (self.plan, self.geometry);
        let (map_len, plane) = (plan.layout.len(), plan.layout.plane());
        for image in 0..images {
            let item = (first + image) * geometry.groups + self.group;
            for (place, channel) in self.channels.clone().enumerate() {
                let map = item * plan.channels + channel;
                let values = &self.x[map * plane..][..plane];
                let target = &mut target[(image * self.channels.len() + place) * map_len..][..map_len];
                match self.before {
                    Some(before) => {
                        let before = before.of_map(map);
                        plan.layout.fill(values, target, |value| before.apply(value));
                    }
                    None => plan.layout.fill(values, target, |value| value),
                }
            }
        }
    }
}

/// Which positions are summed for which rows: those for which a tap meets the map, in blocks.
#[derive(Default)]
struct Places {
    images: usize,
    /// Distance from the beginning of a row's values, and number of the position.
    lists: Vec<Vec<(u32, u32)>>,
    /// For each block of positions, the list of every [`ROWS`] rows.
    blocks: Vec<Vec<usize>>,
}

impl Places {
    fn find(&mut self, plan: &Plan, channels: usize, images: usize) {
        if self.images == images {
            return;
        }
        *self = Self { images, ..Self::default() };
        let part = &plan.parts[0];
        let rows_at_once = (POSITIONS / part.columns).clamp(1, part.rows);
        let columns_at_once = part.columns.min(POSITIONS);
        for row in (0..part.rows).step_by(rows_at_once) {
            for column in (0..part.columns).step_by(columns_at_once) {
                let rows = row..part.rows.min(row + rows_at_once);
                let columns = column..part.columns.min(column + columns_at_once);
                let block = self.block(plan, part, channels, &rows, &columns);
                self.blocks.push(block);
            }
        }
    }

    fn block(
        &mut self,
        plan: &Plan,
        part: &Part,
        channels: usize,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Vec<usize> {
        let count = part.taps.len() * channels;
        let mut last = 0..0;
        let mut lists = Vec::new();
        for first in (0..count).step_by(ROWS) {
            let taps = first / channels..(count.min(first + ROWS) - 1) / channels + 1;
            if taps != last {
                self.lists.push(self.list(plan, part, channels, &taps, rows, columns));
                last = taps;
            }
            lists.push(self.lists.len() - 1);
        }
        lists
    }

    /// Positions for which one of the taps may meet the map.
    fn list(
        &self,
        plan: &Plan,
        part: &Part,
        channels: usize,
        taps: &Range<usize>,
        rows: &Range<usize>,
        columns: &Range<usize>,
    ) -> Vec<(u32, u32)> {
        let taps = &part.taps[taps.clone()];
        let span = |ranges: &mut dyn Iterator<Item = &Range<usize>>, inside: &Range<usize>| {
            let (start, end) = ranges
                .fold((inside.end, inside.start), |(start, end), range| (start.min(range.start), end.max(range.end)));
            start.max(inside.start)..end.min(inside.end)
        };
        let rows = span(&mut taps.iter().map(|tap| &tap.rows), rows);
        let columns = span(&mut taps.iter().map(|tap| &tap.columns), columns);
        let mut list = Vec::with_capacity(self.images * rows.len() * columns.len());
        for image in 0..self.images {
            for row in rows.clone() {
                let place = image * channels * plan.layout.len() + row * plan.layout.pitch;
                let position = image * plan.plane + row * part.columns;
                list.extend(columns.clone().map(|column| ((place + column) as u32, (position + column) as u32)));
            }
        }
        list
    }
}

/// Up to [`ROWS`] rows of values, at some places, times a panel of columns.
struct Sum<'a, T> {
    /// Where each row's values begin.
    rows: &'a [usize],
    /// Distance from there, growing, and column.
    places: &'a [(u32, u32)],
    values: &'a [T],
    panel: &'a [T],
}

impl<T: Real> Sum<'_, T> {
    #[inline(always)]
    fn add<S: Simd, const WIDTH: usize>(&self, simd: S, sums: &mut [T]) {
        let len = WIDTH * T::lanes::<S>();
        let Some(&(last_place, last_position)) = self.places.last() else { return };
        let end = last_place as usize + 1;
        let panel = &self.panel[..(last_position as usize + 1) * len];
        // Rows that are missing repeat the last one, for nothing.
        let last = self.rows.len() - 1;
        let rows: [&[T]; ROWS] = std::array::from_fn(|i| &self.values[self.rows[i.min(last)]..][..end]);
        let mut totals = [[T::splat(simd, T::zero()); WIDTH]; ROWS];
        for &(place, position) in self.places {
            let columns = T::vectors::<S>(&panel[position as usize * len..][..len]);
            let columns: [T::Vector<S>; WIDTH] = std::array::from_fn(|i| columns[i]);
            for (totals, row) in totals.iter_mut().zip(&rows) {
                let value = T::splat(simd, row[place as usize]);
                for (total, &column) in totals.iter_mut().zip(&columns) {
                    *total = T::mul_add(simd, value, column, *total);
                }
            }
        }
        for (sums, totals) in T::vectors_mut::<S>(sums).chunks_exact_mut(WIDTH).zip(totals) {
            for (sum, total) in sums.iter_mut().zip(totals) {
                *sum = T::plus(simd, *sum, total);
            }
        }
    }
}
