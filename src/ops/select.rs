//! CPU code: which of many values are among the k best, without sorting or copying them.
//!
//! The same choice as [`super::top_k`]: of equal values those that come first.

use std::cmp::Ordering;

use super::kernel::Real;
use super::top_k::Order;

/// Where a row is cut: chosen is what is better than `value`, and what equals it at an index below `ties`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut<T> {
    pub(super) value: T,
    pub(super) ties: usize,
}

/// Bins of equal width that values are counted in. One of them is looked at more closely.
const BINS: usize = 1 << 12;

/// The cut that leaves `k` of the values, none of which is below 0. `k` is at least 1; all are chosen where it is at least
/// their number. NaN counts as largest.
pub(super) fn cut<T: Real>(values: &[T], k: usize, order: Order) -> Cut<T> {
    let ties = values.len();
    if k >= ties && order == Order::Largest {
        return Cut { value: T::zero(), ties };
    }
    let k = k.min(ties);
    let bin = binning(values);
    let mut counts = vec![0u32; BINS];
    for &value in values {
        counts[bin(value)] += 1;
    }
    // The bin with the k-th, and how many are in better ones.
    let mut better = 0;
    let mut wanted = 0;
    for step in 0..BINS {
        wanted = if order == Order::Largest { BINS - 1 - step } else { step };
        let count = counts[wanted] as usize;
        if better + count >= k {
            break;
        }
        better += count;
    }
    let mut near: Vec<T> = values.iter().copied().filter(|&value| bin(value) == wanted).collect();
    let compare = |a: &T, b: &T| match order {
        Order::Largest => ascending(b, a),
        Order::Smallest => ascending(a, b),
    };
    let (before, &mut value, after) = near.select_nth_unstable_by(k - better - 1, compare);
    let is_tie = |other: &T| ascending(other, &value) == Ordering::Equal;
    let chosen = before.iter().filter(|other| is_tie(other)).count() + 1;
    if !after.iter().any(is_tie) {
        return Cut { value, ties };
    }
    let mut equal = values.iter().enumerate().filter(|(_, other)| is_tie(other));
    Cut { value, ties: equal.nth(chosen - 1).map_or(ties, |(last, _)| last + 1) }
}

/// A function into the bins that never falls.
fn binning<T: Real>(values: &[T]) -> impl Fn(T) -> usize {
    let most = values.iter().fold(T::zero(), |most, &value| if value > most { value } else { most });
    let scale = T::from_f64(BINS as f64) / most;
    // All in one bin where the largest is 0, tiny or infinite.
    let scale = if scale.to_f64().is_finite() && scale > T::zero() { scale } else { T::zero() };
    let last = T::from_f64((BINS - 1) as f64);
    move |value| {
        let position = value * scale;
        // Written so that NaN is in the last bin.
        if position < last { position.to_f64() as usize } else { BINS - 1 }
    }
}

/// The two zeros equal, NaN above everything.
fn ascending<T: Real>(a: &T, b: &T) -> Ordering {
    #[allow(clippy::eq_op, reason = "the test for NaN of a generic number")]
    a.partial_cmp(b).unwrap_or_else(|| (a != a).cmp(&(b != b)))
}
