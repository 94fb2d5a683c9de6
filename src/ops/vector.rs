//! Loops compiled for the vector instructions of the machine they run on.
//!
//! Sums run in lanes of a fixed number, so that no machine and no number of threads changes their order.

use std::any::Any;

use pulp::{Arch, Simd, WithSimd};

use super::kernel::Real;

/// Partial sums of a sum; a multiple of the numbers in a vector of any machine.
const LANES: usize = 32;

/// `Σ a b`, of slices of one length.
pub(super) fn dot<T: Real>(a: &[T], b: &[T]) -> T {
    Arch::new().dispatch(Dot(a, b))
}

/// The smallest element; infinity for none.
pub(super) fn least<T: Real>(x: &[T]) -> T {
    Arch::new().dispatch(Least(x))
}

/// `Σ x²` of each row of `len` elements.
pub(super) fn squares<T: Real>(rows: &[T], len: usize, sums: &mut [T]) {
    Arch::new().dispatch(Squares { rows, len, sums });
}

/// `exp` of each element: within 2 units in the last place in float32, where what is below the least normal number
/// becomes 0; the standard library's in float64.
#[allow(clippy::ptr_arg, reason = "vectors, and not slices, know their type at run time")]
pub(super) fn exp<T: Real>(values: &mut Vec<T>) {
    match (values as &mut dyn Any).downcast_mut::<Vec<f32>>() {
        Some(values) => Arch::new().dispatch(Exp(values)),
        None => values.iter_mut().for_each(|x| *x = x.exp()),
    }
}

// Structures and not closures: only what is inlined here is compiled for the vectors at hand, and closures need not be.

struct Dot<'a, T>(&'a [T], &'a [T]);

impl<T: Real> WithSimd for Dot<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> T {
        dot_in_lanes(self.0, self.1)
    }
}

struct Squares<'a, T> {
    rows: &'a [T],
    len: usize,
    sums: &'a mut [T],
}

impl<T: Real> WithSimd for Squares<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (sum, row) in self.sums.iter_mut().zip(self.rows.chunks_exact(self.len)) {
            *sum = dot_in_lanes(row, row);
        }
    }
}

// Loops over a fixed number of lanes, the rest filled up: other forms of the same sums were not made into vectors.
#[inline(always)]
fn dot_in_lanes<T: Real>(a: &[T], b: &[T]) -> T {
    let mut lanes = [T::zero(); LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    let (mut a_last, mut b_last) = ([T::zero(); LANES], [T::zero(); LANES]);
    a_last[..a_rest.len()].copy_from_slice(a_rest);
    b_last[..b_rest.len()].copy_from_slice(b_rest);
    for i in 0..LANES {
        lanes[i] += a_last[i] * b_last[i];
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            let other = lanes[i + width];
            lanes[i] += other;
        }
        width /= 2;
    }
    lanes[0]
}

struct Least<'a, T>(&'a [T]);

impl<T: Real> WithSimd for Least<'_, T> {
    type Output = T;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> T {
        let infinity = T::from_f64(f64::INFINITY);
        let mut lanes = [infinity; LANES];
        let (blocks, rest) = self.0.as_chunks::<LANES>();
        for block in blocks {
            for i in 0..LANES {
                lanes[i] = if block[i] < lanes[i] { block[i] } else { lanes[i] };
            }
        }
        lanes.iter().chain(rest).fold(infinity, |least, &x| if x < least { x } else { least })
    }
}

struct Exp<'a>(&'a mut [f32]);

impl WithSimd for Exp<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for x in self.0 {
            *x = exp_of(*x);
        }
    }
}

/// `2^n (1 + r + r² p(r))` with `x = n ln 2 + r`, without a branch.
#[inline(always)]
pub(super) fn exp_of(x: f32) -> f32 {
    // Adding it leaves an integer in the last digits of the sum.
    const ROUND: f32 = 12_582_912.0;
    // The logarithm of 2 in two parts, the first with few digits: its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    // Least squares of the relative error on [-ln 2 / 2, ln 2 / 2]; Cephes' coefficients.
    const SERIES: [f32; 6] = [1.987_569_1e-4, 1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 0.166_666_65, 0.5];
    // Beyond these the result is infinite, or no normal number.
    const RANGE: [f32; 2] = [-87.336_54, 88.722_83];
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut series = SERIES[0];
    for &coefficient in &SERIES[1..] {
        series = series * r + coefficient;
    }
    let mantissa = series * r * r + r + 1.0;
    // In two steps: 2^128 is no number, but a product of two halves of it may be.
    let exponent = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = exponent >> 1;
    let power = |exponent: i32| f32::from_bits((exponent.wrapping_add(127) as u32) << 23);
    let y = mantissa * power(half) * power(exponent.wrapping_sub(half));
    let y = if x < RANGE[0] { 0.0 } else { y };
    let y = if x > RANGE[1] { f32::INFINITY } else { y };
    if x.is_nan() { x } else { y }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponentials_are_the_library_s_but_for_the_last_places() {
        let mut x: Vec<f32> = (-880_000..887_000).step_by(37).map(|i| i as f32 * 1e-4).collect();
        x.extend([0.0, -0.0, -87.336_54, 88.722_83, 1e-30, -1e-30]);
        let want: Vec<f64> = x.iter().map(|&x| f64::from(x).exp()).collect();
        let mut got = x.clone();
        exp(&mut got);
        for ((x, got), want) in x.iter().zip(&got).zip(want) {
            let error = (f64::from(*got) - want).abs();
            let is_close = error <= 2.4e-7 * want || (want < f64::from(f32::MIN_POSITIVE) && *got == 0.0);
            assert!(is_close, "exp {x}: {got:e}, not {want:e}");
        }
    }

    #[test]
    fn exponentials_of_what_has_none() {
        let mut x = vec![f32::NEG_INFINITY, -1e30, -100.0, 100.0, 1e30, f32::INFINITY, f32::NAN];
        exp(&mut x);
        assert_eq!(x[..6], [0.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY, f32::INFINITY]);
        assert!(x[6].is_nan());
        let mut double = vec![1.0f64, -2.0];
        exp(&mut double);
        assert_eq!(double, [1f64.exp(), (-2f64).exp()]);
    }

    #[test]
    fn sums_of_products() {
        for len in [0, 1, 31, 32, 33, 100] {
            let a: Vec<f64> = (0..len).map(|i| f64::from(i % 7) - 2.0).collect();
            let b: Vec<f64> = (0..len).map(|i| f64::from(i % 5) + 1.0).collect();
            assert_eq!(dot(&a, &b), a.iter().zip(&b).map(|(a, b)| a * b).sum::<f64>());
        }
        assert_eq!(least(&[3.0f64, 1.0, 2.0]), 1.0);
        assert_eq!(least(&(0..70).map(|i| f64::from((i * 37 + 5) % 71)).collect::<Vec<f64>>()), 0.0);
        assert_eq!(least::<f64>(&[]), f64::INFINITY);
        let mut sums = [0.0; 2];
        squares(&[1.0, 2.0, 3.0, 4.0], 2, &mut sums);
        assert_eq!(sums, [5.0, 25.0]);
    }
}
