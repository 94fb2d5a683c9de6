//! Loops over slices, shared by the threads of a pool.

use super::filled::filled;
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

/// Elements that stay in the cache of a core.
const BLOCK: usize = 1 << 11;

/// `f` of every element.
pub(super) fn map<T: Real>(x: &[T], f: impl Fn(T) -> T + Send + Sync) -> Vec<T> {
    if x.len() <= GRAIN {
        return x.iter().map(|&x| f(x)).collect();
    }
    filled(x.len(), BLOCK, |block, y| {
        for (y, &x) in y.iter_mut().zip(&x[block * BLOCK..]) {
            *y = f(x);
        }
    })
}

/// `f` of every pair of elements; the slices are of one length.
pub(super) fn map2<T: Real>(a: &[T], b: &[T], f: impl Fn(T, T) -> T + Send + Sync) -> Vec<T> {
    if a.len() <= GRAIN {
        return a.iter().zip(b).map(|(&a, &b)| f(a, b)).collect();
    }
    filled(a.len(), BLOCK, |block, y| {
        for ((y, &a), &b) in y.iter_mut().zip(&a[block * BLOCK..]).zip(&b[block * BLOCK..]) {
            *y = f(a, b);
        }
    })
}
