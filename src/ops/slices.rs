//! Loops over slices, shared by the threads of a pool.

use rayon::prelude::*;

use super::kernel::Real;

/// Sizes before, of and after one axis of a contiguous tensor.
#[derive(Clone, Copy)]
pub(super) struct Axis {
    pub(super) outer: usize,
    pub(super) len: usize,
    pub(super) inner: usize,
}

impl Axis {
    pub(super) fn of(dims: &[usize], axis: usize) -> Self {
        Self { outer: dims[..axis].iter().product(), len: dims[axis], inner: dims[axis + 1..].iter().product() }
    }
}

/// Elements a thread should have to do before a second one is worth waking.
pub(super) const GRAIN: usize = 1 << 14;

/// `f` of every element.
pub(super) fn map<T: Real>(x: &[T], f: impl Fn(T) -> T + Send + Sync) -> Vec<T> {
    if x.len() <= GRAIN {
        return x.iter().map(|&x| f(x)).collect();
    }
    let mut y = vec![T::zero(); x.len()];
    y.par_chunks_mut(GRAIN).zip(x.par_chunks(GRAIN)).for_each(|(y, x)| {
        for (y, &x) in y.iter_mut().zip(x) {
            *y = f(x);
        }
    });
    y
}

/// `f` of every pair of elements; the slices are of one length.
pub(super) fn map2<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Send + Sync) -> Vec<T> {
    if a.len() <= GRAIN {
        return a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
    }
    let mut y = vec![T::zero(); a.len()];
    y.par_chunks_mut(GRAIN).zip(a.par_chunks(GRAIN)).zip(b.par_chunks(GRAIN)).for_each(|((y, a), b)| {
        for ((y, &a), &b) in y.iter_mut().zip(a).zip(b) {
            *y = f(a, b);
        }
    });
    y
}

/// Runs `f(i, chunk)` on the chunks of `y` of `len` elements each, several chunks a thread when they are small.
pub(super) fn for_each_chunk<T: Real>(y: &mut [T], len: usize, f: impl Fn(usize, &mut [T]) + Send + Sync) {
    if len > 0 {
        let least = GRAIN.div_ceil(len);
        y.par_chunks_mut(len).with_min_len(least).enumerate().for_each(|(i, chunk)| f(i, chunk));
    }
}
