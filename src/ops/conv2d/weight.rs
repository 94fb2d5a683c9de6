//! The weight in the order in which it is multiplied.

use std::ops::Range;

use rayon::prelude::*;

use super::plan::{Part, Plan};
use crate::ops::kernel::Real;

/// Numbers that a tile is multiplied with before its sums are put away.
const BLOCK: usize = 384;

/// The weight of a part: for some channels at a time and for every few results, tap by tap, all channels of a tap one
/// after the other, the results side by side.
pub(super) struct PackedWeight<T> {
    values: Vec<T>,
    /// Results side by side.
    panel: usize,
    /// Channels at a time, and their place in the values.
    blocks: Vec<(Range<usize>, usize)>,
    taps: usize,
}

impl<T: Real> PackedWeight<T> {
    /// `weight` is that of one group.
    pub(super) fn new(plan: &Plan, part: &Part, weight: &[T], panel: usize) -> Self {
        let (taps, panels) = (part.taps.len(), plan.results.div_ceil(panel));
        let channels = (BLOCK / taps.max(1)).clamp(1, plan.channels);
        // Equal blocks rather than a small last one.
        let channels = plan.channels.div_ceil(plan.channels.div_ceil(channels));
        let mut values = vec![T::zero(); plan.channels * taps * panels * panel];
        let mut blocks = Vec::new();
        let mut start = 0;
        for first in (0..plan.channels).step_by(channels) {
            let block = first..(first + channels).min(plan.channels);
            let len = block.len() * taps * panel;
            let pack = |(index, values): (usize, &mut [T])| {
                let results = index * panel..plan.results.min((index + 1) * panel);
                // Channel by channel, so that what is read lies together.
                for (index, channel) in block.clone().enumerate() {
                    let weight = &weight[channel * plan.channel_step..];
                    for (place, tap) in part.taps.iter().enumerate() {
                        let values = &mut values[(place * block.len() + index) * panel..][..panel];
                        for (value, result) in values.iter_mut().zip(results.clone()) {
                            *value = weight[result * plan.result_step + tap.place];
                        }
                    }
                }
            };
            if len > 0 {
                let values = &mut values[start..start + panels * len];
                values.par_chunks_mut(len).with_min_len(LEAST_PACKED.div_ceil(len)).enumerate().for_each(pack);
            }
            blocks.push((block, start));
            start += panels * len;
        }
        Self { values, panel, blocks, taps }
    }

    /// Results side by side.
    pub(super) fn panel_rows(&self) -> usize {
        self.panel
    }

    /// Channels at a time.
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.blocks.iter().map(|(block, _)| block.clone())
    }

    /// Taps of the longest block.
    pub(super) fn longest(&self) -> usize {
        self.blocks().map(|block| block.len()).max().unwrap_or(0) * self.taps
    }

    pub(super) fn panel(&self, block: usize, panel: usize) -> &[T] {
        let (channels, start) = &self.blocks[block];
        let len = channels.len() * self.taps * self.panel;
        &self.values[start + panel * len..][..len]
    }
}

/// Numbers worth a thread.
const LEAST_PACKED: usize = 1 << 14;
