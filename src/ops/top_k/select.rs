//! The k first of many numbers in a total order, by keys that compare as integers.

use super::Order;
use crate::ops::kernel::Real;

/// A number whose order as an integer is that of the elements, the best first: NaN above everything, the zeros equal.
pub(in crate::ops) fn key<T: Real>(x: T, order: Order) -> u64 {
    // Exact for both types; a zero added turns -0 into 0.
    let x = x.to_f64() + 0.0;
    let bits = if x.is_nan() { f64::NAN.to_bits() & !SIGN } else { x.to_bits() };
    // Negative numbers have the order of their bits reversed.
    let ascending = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    match order {
        Order::Largest => !ascending,
        Order::Smallest => ascending,
    }
}

const SIGN: u64 = 1 << 63;

/// Memory of a selection, used again by the next one.
#[derive(Default)]
pub(in crate::ops) struct Selection {
    keys: Vec<u64>,
    parted: Vec<u64>,
    chosen: Vec<(u64, u32)>,
}

impl Selection {
    /// Positions of the `result.len()` smallest keys, ascending, among equal ones the lowest position first.
    pub(in crate::ops) fn smallest(&mut self, keys: impl Iterator<Item = u64>, result: &mut [u32]) {
        let Self { keys: all, parted, chosen } = self;
        all.clear();
        all.extend(keys);
        chosen.clear();
        let k = result.len();
        if k == 0 {
            return;
        }
        if k < all.len() {
            parted.clone_from(all);
            let (below, &mut last, _) = parted.select_nth_unstable(k - 1);
            // All before the last one taken, then as many equal to it as there is room for.
            let mut ties = k - below.iter().filter(|key| **key < last).count();
            for (position, &key) in all.iter().enumerate() {
                let is_tie = key == last && ties > 0;
                if key < last || is_tie {
                    ties -= usize::from(is_tie);
                    chosen.push((key, position as u32));
                }
            }
        } else {
            chosen.extend(all.iter().enumerate().map(|(position, &key)| (key, position as u32)));
        }
        chosen.sort_unstable();
        for (result, (_, position)) in result.iter_mut().zip(chosen) {
            *result = *position;
        }
    }
}
