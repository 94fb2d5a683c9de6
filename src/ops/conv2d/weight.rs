//! The weight in the order in which it is multiplied.

use std::ops::Range;

use super::plan::{Part, Plan};
use super::product::{NARROW, WIDE};
use crate::ops::filled::filled;
use crate::ops::kernel::Real;

/// Numbers that a tile is multiplied with before its sums are put away.
const BLOCK: usize = 384;

/// The weight of a part: for some channels at a time and for every few results, tap by tap, all channels of a tap one
/// after the other, the results side by side.
pub(super) struct PackedWeight<T> {
    /// Results side by side.
    panel: usize,
    /// Channels at a time, and their numbers, panel after panel.
    blocks: Vec<(Range<usize>, Vec<T>)>,
    taps: usize,
}

impl<T: Real> PackedWeight<T> {
    /// `weight` is that of one group; `panel` is [`WIDE`] or [`NARROW`].
    pub(super) fn new(plan: &Plan, part: &Part, weight: &[T], panel: usize) -> Self {
        if panel == WIDE {
            Self::packed::<WIDE>(plan, part, weight)
        } else {
            Self::packed::<NARROW>(plan, part, weight)
        }
    }

    fn packed<const PANEL: usize>(plan: &Plan, part: &Part, weight: &[T]) -> Self {
        let (taps, panels) = (part.taps.len(), plan.results.div_ceil(PANEL));
        let channels = (BLOCK / taps.max(1)).clamp(1, plan.channels);
        // Equal blocks rather than a small last one.
        let channels = plan.channels.div_ceil(plan.channels.div_ceil(channels));
        let pack = |first: usize| {
            let block = first..(first + channels).min(plan.channels);
            let len = block.len() * taps * PANEL;
            // Channel by channel, so that what is read lies together: where a number is, and where it goes.
            let of_channel = |(index, channel): (usize, usize)| {
                let numbers = part.taps.iter().enumerate();
                let count = block.len();
                numbers.map(move |(tap, at)| (channel * plan.channel_step + at.place, tap * count + index))
            };
            let order: Vec<(usize, usize)> = block.clone().enumerate().flat_map(of_channel).collect();
            let end = order.iter().map(|(from, _)| from + 1).max().unwrap_or(0);
            let values = filled(panels * len, len, |index, values| {
                // Results beyond the last one repeat it, for nothing.
                let rows: [&[T]; PANEL] = std::array::from_fn(|i| {
                    let result = (index * PANEL + i).min(plan.results - 1);
                    &weight[result * plan.result_step..][..end]
                });
                let (values, _) = values.as_chunks_mut::<PANEL>();
                for &(from, to) in &order {
                    values[to] = std::array::from_fn(|i| rows[i][from]);
                }
            });
            (block, values)
        };
        let blocks = (0..plan.channels).step_by(channels).map(pack).collect();
        Self { panel: PANEL, blocks, taps }
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
        let (channels, values) = &self.blocks[block];
        let len = channels.len() * self.taps * self.panel;
        &values[panel * len..][..len]
    }
}
