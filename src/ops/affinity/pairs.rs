//! Pixels in blocks, and all pairs of blocks in rounds.
//!
//! The affinity matrix is symmetric, so a pair of blocks is looked at once and serves both of them. In a round no block
//! occurs twice: its pairs run in parallel, each block adds up what the rounds bring in the order of the rounds, and
//! nothing depends on the number of threads.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

/// Most pixels of a block. A tile of 256 x 256 has 256 KiB in float32 and stays in the cache until it is used up.
const WIDEST: usize = 256;

/// Widths are multiples of it, so that rows of a tile are whole vectors.
const LANES: usize = 16;

/// How the pixels of an image are cut.
#[derive(Clone, Copy)]
pub(super) struct Blocks {
    pixels: usize,
    width: usize,
    pub(super) count: usize,
}

impl Blocks {
    pub(super) fn of(pixels: usize) -> Self {
        let least = pixels.div_ceil(WIDEST).max(1);
        // An odd number of blocks leaves one of them without a partner in every round.
        let count = if least > 1 { least.next_multiple_of(2) } else { 1 };
        let width = pixels.div_ceil(count).next_multiple_of(LANES);
        Self { pixels, width, count: pixels.div_ceil(width.max(1)) }
    }

    /// The pixels of a block.
    pub(super) fn range(&self, block: usize) -> Range<usize> {
        block * self.width..((block + 1) * self.width).min(self.pixels)
    }

    /// Every pair once, in rounds: each block with itself, then a tournament of all against all.
    fn rounds(&self) -> Vec<Vec<(usize, usize)>> {
        let circle = self.count.next_multiple_of(2) - 1;
        let mut rounds = vec![(0..self.count).map(|block| (block, block)).collect()];
        for turn in 0..circle {
            // One stays in its seat, the others move round the table; with an odd number the seat is empty.
            let seats = (1..=circle / 2).map(|seat| ((turn + seat) % circle, (turn + circle - seat) % circle));
            let pairs = seats.chain([(turn, circle)]).map(|(a, b)| (a.min(b), a.max(b)));
            rounds.push(pairs.filter(|(_, right)| *right < self.count).collect());
        }
        rounds
    }
}

/// A pair of blocks of one image, `left <= right`.
#[derive(Clone, Copy)]
pub(super) struct Pair {
    pub(super) image: usize,
    pub(super) left: usize,
    pub(super) right: usize,
}

/// Calls `work` for every pair of blocks of every image, with what the right and the left block add up; the left one is
/// none where a block meets itself. The sums come back image by image, block by block.
pub(super) fn for_each_pair<P: Send, S: Default + Send>(
    images: usize,
    blocks: Blocks,
    new: impl Fn(Range<usize>) -> P,
    work: impl Fn(&mut S, Pair, &mut P, Option<&mut P>) + Sync,
) -> Vec<P> {
    let all = (0..images).flat_map(|_| 0..blocks.count);
    let mut sums: Vec<Option<P>> = all.map(|block| Some(new(blocks.range(block)))).collect();
    // Tiles are handed on from task to task: fresh ones would cost a page fault every few vectors.
    let tiles: Mutex<Vec<S>> = Mutex::new(Vec::new());
    for round in blocks.rounds() {
        let mut tasks: Vec<Task<P>> = Vec::with_capacity(images * round.len());
        for image in 0..images {
            for &(left, right) in &round {
                let own = sums[image * blocks.count + right].take();
                let other = sums[image * blocks.count + left].take();
                tasks.extend(own.map(|right_sums| (Pair { image, left, right }, right_sums, other)));
            }
        }
        tasks.par_iter_mut().with_max_len(1).for_each(|(pair, right, left)| {
            let mut tile = tiles.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
            work(&mut tile, *pair, right, left.as_mut());
            tiles.lock().unwrap_or_else(PoisonError::into_inner).push(tile);
        });
        for (pair, right, left) in tasks {
            sums[pair.image * blocks.count + pair.right] = Some(right);
            if left.is_some() {
                sums[pair.image * blocks.count + pair.left] = left;
            }
        }
    }
    sums.into_iter().flatten().collect()
}

type Task<P> = (Pair, P, Option<P>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_meets_once_and_no_block_twice_in_a_round() {
        for pixels in [1, 15, 16, 256, 257, 300, 1100, 3136, 12544] {
            let blocks = Blocks::of(pixels);
            let covered: Vec<usize> = (0..blocks.count).flat_map(|block| blocks.range(block)).collect();
            assert_eq!(covered, (0..pixels).collect::<Vec<_>>());
            let mut met = vec![0; blocks.count * blocks.count];
            for (turn, round) in blocks.rounds().iter().enumerate() {
                let mut busy = vec![false; blocks.count];
                for &(left, right) in round {
                    met[left * blocks.count + right] += 1;
                    assert!(!std::mem::replace(&mut busy[left], true));
                    assert!(turn == 0 || !std::mem::replace(&mut busy[right], true));
                }
            }
            for left in 0..blocks.count {
                for right in 0..blocks.count {
                    assert_eq!(
                        met[left * blocks.count + right],
                        usize::from(left <= right),
                        "{pixels}: {left}, {right}"
                    );
                }
            }
        }
    }
}
