//! Soft-max, mined negatives and gradient for a few adjacent pixels at a time, one in each lane of a vector.
//!
//! A tile holds the logits class by class with its pixels adjacent, so that every step is the same arithmetic on all lanes
//! and is compiled to vector instructions; nothing is summed across lanes, so their number changes no bit.

use std::ops::Range;

use super::Plan;
use crate::ops::kernel::Real;

/// Pixels that are worked on together: a register of float32 where registers are widest.
pub(super) const LANES: usize = 16;

/// One number for each pixel.
pub(super) type Lanes<T> = [T; LANES];

#[inline(always)]
pub(super) fn map<T: Real>(a: Lanes<T>, f: impl Fn(T) -> T) -> Lanes<T> {
    std::array::from_fn(|lane| f(a[lane]))
}

#[inline(always)]
pub(super) fn zip<T: Real>(a: Lanes<T>, b: Lanes<T>, f: impl Fn(T, T) -> T) -> Lanes<T> {
    std::array::from_fn(|lane| f(a[lane], b[lane]))
}

#[inline(always)]
pub(super) fn load<T: Real>(row: &[T]) -> Lanes<T> {
    let mut lanes = [T::zero(); LANES];
    lanes.copy_from_slice(&row[..LANES]);
    lanes
}

#[inline(always)]
fn more<T: Real>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

#[inline(always)]
fn less<T: Real>(a: T, b: T) -> T {
    if a > b { b } else { a }
}

#[inline(always)]
fn one_if<T: Real>(holds: bool) -> T {
    if holds { T::one() } else { T::zero() }
}

/// The logits of [`LANES`] pixels: row `set * classes + class` starts at `rows[row * stride]`.
#[derive(Clone, Copy)]
pub(super) struct Logits<'a, T> {
    pub(super) plan: &'a Plan,
    pub(super) rows: &'a [T],
    pub(super) stride: usize,
}

/// Denominators of a soft-max, as `sum * exp(top)`.
#[derive(Clone, Copy)]
pub(super) struct Denominator<T> {
    top: Lanes<T>,
    sum: Lanes<T>,
}

impl<T: Real> Denominator<T> {
    #[inline(always)]
    pub(super) fn losses(&self, own: Lanes<T>) -> Lanes<T> {
        let log = map(self.sum, Real::ln);
        std::array::from_fn(|lane| log[lane] + (self.top[lane] - own[lane]))
    }
}

/// The negatives of each pixel as an interval of logits, whose ends other classes may share.
#[derive(Clone, Copy)]
struct Interval<T> {
    upper: Lanes<T>,
    lower: Lanes<T>,
    // Classes as similar as `upper` that come before the interval, and those as similar as `lower` up to its end.
    skipped: Lanes<T>,
    taken: Lanes<T>,
}

impl<'a, T: Real> Logits<'a, T> {
    #[inline(always)]
    fn row(&self, set: usize, class: usize) -> Lanes<T> {
        load(&self.rows[(set * self.plan.classes + class) * self.stride..])
    }

    /// Those of each pixel's own class.
    #[inline(always)]
    pub(super) fn own(&self, set: usize, labels: &[u32; LANES]) -> Lanes<T> {
        std::array::from_fn(|lane| self.rows[(set * self.plan.classes + labels[lane] as usize) * self.stride + lane])
    }

    #[inline(always)]
    fn top(&self, set: usize) -> Lanes<T> {
        let mut top = self.row(set, self.plan.columns[0]);
        for &class in &self.plan.columns[1..] {
            top = zip(top, self.row(set, class), more);
        }
        top
    }

    /// Over all candidates.
    #[inline(always)]
    pub(super) fn denominator(&self, set: usize) -> Denominator<T> {
        let top = self.top(set);
        let mut sum = [T::zero(); LANES];
        for &class in &self.plan.columns {
            let row = self.row(set, class);
            for lane in 0..LANES {
                sum[lane] += (row[lane] - top[lane]).exp_near();
            }
        }
        Denominator { top, sum }
    }

    /// The same; each candidate's part of the sum goes to its row of `parts`.
    #[inline(always)]
    pub(super) fn denominator_with_parts(&self, set: usize, parts: &mut [T]) -> Denominator<T> {
        let top = self.top(set);
        let mut sum = [T::zero(); LANES];
        for &class in &self.plan.columns {
            let row = self.row(set, class);
            let part = &mut parts[(set * self.plan.classes + class) * self.stride..][..LANES];
            for lane in 0..LANES {
                part[lane] = (row[lane] - top[lane]).exp_near();
                sum[lane] += part[lane];
            }
        }
        Denominator { top, sum }
    }

    /// Adds the own class where it is no candidate.
    #[inline(always)]
    pub(super) fn with_own(&self, all: Denominator<T>, labels: &[u32; LANES], own: Lanes<T>) -> Denominator<T> {
        if self.plan.columns.len() == self.plan.classes {
            return all;
        }
        let mut with = all;
        for lane in 0..LANES {
            if !self.plan.is_allowed[labels[lane] as usize] {
                let top = more(all.top[lane], own[lane]);
                with.sum[lane] = all.sum[lane] * (all.top[lane] - top).exp_near() + (own[lane] - top).exp_near();
                with.top[lane] = top;
            }
        }
        with
    }

    /// The logits that are ranked: those of a class, without the pixels whose own class it is when that takes no rank.
    #[inline(always)]
    fn ranked(&self, set: usize, class: usize, labels: &[u32; LANES], own: bool) -> Lanes<T> {
        let row = self.row(set, class);
        if own {
            return row;
        }
        let last = T::from_f64(f64::NEG_INFINITY);
        std::array::from_fn(|lane| if labels[lane] == class as u32 { last } else { row[lane] })
    }

    /// The largest `count` of what is ranked, descending, to the beginning of `best`.
    #[inline(always)]
    fn rank(&self, set: usize, labels: &[u32; LANES], own: bool, count: usize, best: &mut [Lanes<T>]) {
        if self.plan.network.is_cheaper(count) {
            for (place, &class) in best.iter_mut().zip(&self.plan.columns) {
                *place = self.ranked(set, class, labels, own);
            }
            for &[before, after] in self.plan.network.exchanges() {
                let (a, b) = (best[before as usize], best[after as usize]);
                best[before as usize] = zip(a, b, more);
                best[after as usize] = zip(a, b, less);
            }
            return;
        }
        let best = &mut best[..count];
        best.fill([T::from_f64(f64::NEG_INFINITY); LANES]);
        // An insertion into a descending list, lane by lane: minimum and maximum only.
        for (known, &class) in self.plan.columns.iter().enumerate() {
            let mut next = self.ranked(set, class, labels, own);
            for place in best.iter_mut().take(known + 1) {
                let at_place = zip(*place, next, more);
                next = zip(*place, next, less);
                *place = at_place;
            }
        }
    }

    /// Over the own class and the mined ones, once more when it is among these. That takes the logits of these, and not
    /// whose they are. `best` is room for a rank of every candidate.
    #[inline(always)]
    pub(super) fn mined_denominator(
        &self,
        set: usize,
        labels: &[u32; LANES],
        own: Lanes<T>,
        (ranks, ranks_own): (&Range<usize>, bool),
        best: &mut [Lanes<T>],
    ) -> Denominator<T> {
        self.rank(set, labels, ranks_own, ranks.end, best);
        let mined = &best[ranks.clone()];
        let top = zip(own, mined[0], more);
        let mut sum: Lanes<T> = std::array::from_fn(|lane| (own[lane] - top[lane]).exp_near());
        for logits in mined {
            for lane in 0..LANES {
                sum[lane] += (logits[lane] - top[lane]).exp_near();
            }
        }
        Denominator { top, sum }
    }

    /// The logits at the ends of the ranks, by the list of [`Self::rank`].
    #[inline(always)]
    fn interval(ranks: &Range<usize>, best: &[Lanes<T>]) -> Interval<T> {
        let (upper, lower) = (best[ranks.start], best[ranks.end - 1]);
        let (mut above_upper, mut above_lower) = ([T::zero(); LANES], [T::zero(); LANES]);
        for (rank, place) in best.iter().enumerate() {
            for lane in 0..LANES {
                above_upper[lane] += one_if((rank < ranks.start) & (place[lane] > upper[lane]));
                above_lower[lane] += one_if(place[lane] > lower[lane]);
            }
        }
        let count = |rank: usize| T::from_f64(rank as f64);
        Interval {
            upper,
            lower,
            skipped: map(above_upper, |above| count(ranks.start) - above),
            taken: map(above_lower, |above| count(ranks.end) - above),
        }
    }

    /// The same; each mined class's part of the sum goes to its row of `parts`, 0 for the others.
    #[inline(always)]
    pub(super) fn mined_denominator_with_parts(
        &self,
        set: usize,
        labels: &[u32; LANES],
        own: Lanes<T>,
        (ranks, ranks_own): (&Range<usize>, bool),
        parts: &mut [Lanes<T>],
        best: &mut [Lanes<T>],
    ) -> Denominator<T> {
        self.rank(set, labels, ranks_own, ranks.end, best);
        let Interval { upper, lower, skipped, taken } = Self::interval(ranks, &best[..ranks.end]);
        let top = zip(own, upper, more);
        let mut sum: Lanes<T> = std::array::from_fn(|lane| (own[lane] - top[lane]).exp_near());
        let (mut at_upper, mut at_lower) = ([T::zero(); LANES], [T::zero(); LANES]);
        for &class in &self.plan.columns {
            let row = self.ranked(set, class, labels, ranks_own);
            let part = &mut parts[class];
            for lane in 0..LANES {
                let (is_upper, is_lower) = (row[lane] == upper[lane], row[lane] == lower[lane]);
                // Without short cuts, which are branches.
                let inside = (row[lane] <= upper[lane])
                    & (row[lane] >= lower[lane])
                    & !(is_upper & (at_upper[lane] < skipped[lane]))
                    & !(is_lower & (at_lower[lane] >= taken[lane]));
                at_upper[lane] += one_if(is_upper);
                at_lower[lane] += one_if(is_lower);
                let exponential = (row[lane] - top[lane]).exp_near();
                part[lane] = if inside { exponential } else { T::zero() };
                sum[lane] += part[lane];
            }
        }
        Denominator { top, sum }
    }
}

impl<T: Real> Denominator<T> {
    /// `exp(logit) / denominator`.
    #[inline(always)]
    pub(super) fn share(&self, logits: Lanes<T>) -> Lanes<T> {
        std::array::from_fn(|lane| (logits[lane] - self.top[lane]).exp_near() / self.sum[lane])
    }

    /// The sum, of which parts are what [`Logits`] gives.
    #[inline(always)]
    pub(super) fn sum(&self) -> Lanes<T> {
        self.sum
    }

    /// What turns parts of `other`'s sum into parts of this one.
    #[inline(always)]
    pub(super) fn scale_from(&self, other: &Self) -> Lanes<T> {
        std::array::from_fn(|lane| (other.top[lane] - self.top[lane]).exp_near() / self.sum[lane])
    }
}
