//! How many thresholds lie below a score.

use std::sync::Arc;

/// The most slots of the table; 256 KiB would no longer be near.
const MOST_SLOTS: usize = 1 << 13;

/// Thresholds in float32, ascending, and a table that finds the place of a score among them without a search.
///
/// The line from the lowest to the highest threshold is cut into slots so narrow that no two thresholds share one.
/// Which slot a score falls into is computed with rounding, but by an operation that never changes the order of two
/// numbers: thresholds of earlier slots are below the score, those of later ones above, and only the one of its own
/// slot has to be compared with it. So the count is exact, whatever the rounding.
#[derive(Clone, Debug)]
pub(crate) struct Bins {
    keys: Arc<[f32]>,
    lowest: f32,
    scale: f32,
    /// For every slot the number of thresholds in slots before it, and the threshold to compare with. Empty where
    /// thresholds are too close together.
    slots: Vec<(u32, f32)>,
}

impl Bins {
    /// Of at least one threshold, ascending and finite.
    pub(crate) fn new(keys: Arc<[f32]>) -> Self {
        let (lowest, highest) = (keys.first().copied().unwrap_or(0.0), keys.last().copied().unwrap_or(0.0));
        let mut bins = Self { keys, lowest, scale: 0.0, slots: Vec::new() };
        let mut count = (2 * bins.keys.len()).next_power_of_two();
        while count <= MOST_SLOTS {
            // The last slot is of scores at the highest threshold and above.
            bins.scale = if highest > lowest { count as f32 / (highest - lowest) } else { 0.0 };
            let places: Vec<usize> = bins.keys.iter().map(|key| bins.place(*key, count + 1)).collect();
            if bins.scale.is_finite() && places.windows(2).all(|pair| pair[0] < pair[1]) {
                bins.slots = (0..=count).map(|slot| bins.slot(&places, slot)).collect();
                break;
            }
            count *= 2;
        }
        bins
    }

    fn slot(&self, places: &[usize], slot: usize) -> (u32, f32) {
        let before = places.partition_point(|place| *place < slot);
        // A later threshold is above every score of this slot, so comparing with it changes nothing.
        (before as u32, self.keys.get(before).copied().unwrap_or(f32::INFINITY))
    }

    #[inline]
    fn place(&self, score: f32, slots: usize) -> usize {
        // The cast takes what is below 0 to 0.
        (((score - self.lowest) * self.scale) as usize).min(slots - 1)
    }

    /// Number of thresholds below a score that is a number, from 0 to [`Self::len`] - 1.
    #[inline]
    pub(crate) fn of(&self, score: f32) -> usize {
        if self.slots.is_empty() {
            return self.keys.partition_point(|key| *key < score);
        }
        let (before, key) = self.slots[self.place(score, self.slots.len())];
        before as usize + usize::from(key < score)
    }

    /// Answers there are: one more than thresholds.
    pub(crate) fn len(&self) -> usize {
        self.keys.len() + 1
    }

    /// The thresholds.
    pub(crate) fn keys(&self) -> Arc<[f32]> {
        Arc::clone(&self.keys)
    }
}

#[cfg(test)]
mod tests {
    use super::Bins;

    // All float32 near every threshold, and some far from any.
    fn expect_exact(keys: &[f32], has_table: bool) {
        let bins = Bins::new(keys.into());
        assert_eq!(!bins.slots.is_empty(), has_table, "{keys:?}");
        let mut scores =
            vec![f32::NEG_INFINITY, f32::MIN, -1.0, -0.0, 0.0, f32::MIN_POSITIVE, 7.0, f32::MAX, f32::INFINITY];
        for key in keys {
            let (mut below, mut above) = (*key, *key);
            scores.push(*key);
            for _ in 0..40 {
                (below, above) = (below.next_down(), above.next_up());
                scores.extend([below, above]);
            }
        }
        scores.extend((0..5000u16).map(|step| f32::from(step) / 4000.0 - 0.1));
        for score in scores {
            let want = keys.iter().filter(|key| **key < score).count();
            assert_eq!(bins.of(score), want, "score {score} among {keys:?}");
        }
    }

    #[test]
    fn the_table_is_exact() {
        let grid = |last: u16, unit: f64| (0..=last).map(|step| (f64::from(step) / unit) as f32).collect::<Vec<_>>();
        expect_exact(&grid(59, 100.0), true);
        expect_exact(&grid(99, 100.0), true);
        expect_exact(&grid(999, 1000.0), true);
        expect_exact(&[0.0, 0.1, 0.15, 0.3, 0.7, 0.999, 1.1, 2.0], true);
        expect_exact(&[0.26], true);
        expect_exact(&[0.3, 0.3f32.next_up()], true);
        expect_exact(&[0.0, f32::MIN_POSITIVE, 3.0], false);
        expect_exact(&[0.0, f32::MAX], true);
        expect_exact(&[0.0, 1e-20, 1.0, 1e20], false);
    }
}
