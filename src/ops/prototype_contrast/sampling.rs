//! Which pixels of a class are chosen, and what they weigh. Class by class, so that threads change nothing.

use std::cmp::Ordering;

use super::HardHalf;
use crate::ops::kernel::Real;

/// Pixels of each class, ascending: `members[starts[c]..starts[c + 1]]`.
pub(super) struct Members {
    pixels: Vec<u32>,
    starts: Vec<usize>,
}

impl Members {
    pub(super) fn new(labels: &[u32], classes: usize) -> Self {
        let mut starts = vec![0; classes + 1];
        for &label in labels {
            starts[label as usize + 1] += 1;
        }
        for class in 0..classes {
            starts[class + 1] += starts[class];
        }
        let mut next = starts.clone();
        let mut pixels = vec![0; labels.len()];
        for (pixel, &label) in labels.iter().enumerate() {
            let place = &mut next[label as usize];
            pixels[*place] = pixel as u32;
            *place += 1;
        }
        Self { pixels, starts }
    }

    fn of(&self, class: usize) -> &[u32] {
        &self.pixels[self.starts[class]..self.starts[class + 1]]
    }

    fn classes(&self) -> usize {
        self.starts.len() - 1
    }

    /// What a pixel of each class weighs each time it is chosen; `halved` when half of a class is chosen twice.
    pub(super) fn shares(&self, halved: bool, count_empty: bool) -> Vec<f64> {
        let chosen = |class: usize| if halved { self.of(class).len() / 2 * 2 } else { self.of(class).len() };
        let counts = |class: &usize| if count_empty { !self.of(*class).is_empty() } else { chosen(*class) > 0 };
        let counted = (0..self.classes()).filter(counts).count();
        let share = |class: usize| if chosen(class) == 0 { 0.0 } else { 1.0 / (chosen(class) * counted) as f64 };
        (0..self.classes()).map(share).collect()
    }

    /// How often each pixel is chosen, `similarity` being that to its own prototype.
    pub(super) fn multiplicities<T: Real>(&self, similarity: &[T], half: HardHalf) -> Vec<T> {
        let mut times = vec![T::zero(); similarity.len()];
        for class in 0..self.classes() {
            let members = self.of(class);
            let amount = members.len() / 2;
            if amount == 0 {
                continue;
            }
            let draw = |position: usize| (half.key.draw(class as u32, position as u32), position as u32);
            let mut draws: Vec<(u32, u32)> = (0..members.len()).map(draw).collect();
            draws.select_nth_unstable(amount - 1);
            for (_, position) in &draws[..amount] {
                times[members[*position as usize] as usize] += T::one();
            }
            // Ties by index: `members` ascend.
            let by_similarity =
                |a: &u32, b: &u32| compare_nan_last(similarity[*a as usize], similarity[*b as usize]).then(a.cmp(b));
            let hard = ((members.len() as f64 * half.fraction) as usize).max(amount);
            let mut order = members.to_vec();
            order.select_nth_unstable_by(hard - 1, by_similarity);
            let (hardest, skipped) = (&mut order[..hard], hard - amount);
            if skipped > 0 {
                hardest.select_nth_unstable_by(skipped - 1, by_similarity);
            }
            for &pixel in &hardest[skipped..] {
                times[pixel as usize] += T::one();
            }
        }
        times
    }
}

/// Ascending, the two zeros equal, NaN above everything: a total order, which selection needs.
fn compare_nan_last<T: Real>(a: T, b: T) -> Ordering {
    #[allow(clippy::eq_op, reason = "the test for NaN of a generic number")]
    a.partial_cmp(&b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}
