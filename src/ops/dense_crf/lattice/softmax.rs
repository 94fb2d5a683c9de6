//! Soft-max of a pixel's channels, in float32 and without calls, so that it becomes vectors.

/// Belief below which a label counts for nothing, as a logarithm: far below what float32 sums notice, and far above the
/// numbers that processors are slow with.
const FLOOR: f32 = -50.0;

// See `simplex`: adding it rounds, and leaves the whole number in the low bits.
const ROUNDER: f32 = (3 << 22) as f32;
const EXPONENT: u32 = 23;
const BIAS: u32 = 127 << EXPONENT;
// ln 2 in two parts, the first of few bits: its products with whole numbers are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

const WIDTH: usize = 4;

/// Replaces scores by beliefs that sum, times how many labels each stands for, to 1. Rows of `multiplicity.len()` groups
/// a pixel; each step runs over all pixels before the next one, which keeps the processor from waiting for any.
#[inline(always)]
pub(super) fn softmax<const B: usize>(scores: &mut [[f32; B]], multiplicity: &[[f32; B]]) {
    let groups = multiplicity.len();
    for pixel in scores.chunks_exact_mut(groups) {
        let mut tops = [f32::NEG_INFINITY; WIDTH];
        for score in pixel.iter().flat_map(|group| group.as_chunks::<WIDTH>().0) {
            for lane in 0..WIDTH {
                tops[lane] = if score[lane] > tops[lane] { score[lane] } else { tops[lane] };
            }
        }
        let larger = |a: f32, b: f32| if a > b { a } else { b };
        let top = larger(larger(tops[0], tops[1]), larger(tops[2], tops[3]));
        for value in pixel.as_flattened_mut() {
            *value -= top;
        }
    }
    for value in scores.as_flattened_mut() {
        *value = exp(*value);
    }
    for pixel in scores.chunks_exact_mut(groups) {
        let mut sums = [0.0; WIDTH];
        for (group, many) in pixel.iter().zip(multiplicity) {
            for (value, many) in group.as_chunks::<WIDTH>().0.iter().zip(many.as_chunks::<WIDTH>().0) {
                for lane in 0..WIDTH {
                    sums[lane] += value[lane] * many[lane];
                }
            }
        }
        let factor = 1.0 / ((sums[0] + sums[1]) + (sums[2] + sums[3]));
        for value in pixel.as_flattened_mut() {
            *value *= factor;
        }
    }
}

/// `exp(x)` for `x` of at most 0, within 2 units of the last place; 0 below [`FLOOR`].
#[inline(always)]
fn exp(x: f32) -> f32 {
    let inside = if x > FLOOR { x } else { FLOOR };
    let shifted = inside * std::f32::consts::LOG2_E + ROUNDER;
    let power = shifted - ROUNDER;
    let r = (inside - power * LN_2_HIGH) - power * LN_2_LOW;
    // Taylor's series: |r| is at most ln 2 / 2, where the first term left out is 5e-9.
    let mut sum = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum * r + coefficient;
    }
    let scale = f32::from_bits((shifted.to_bits() << EXPONENT).wrapping_add(BIAS));
    if x > FLOOR { sum * scale } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::{exp, softmax};

    #[test]
    fn exponentials_are_the_library_s() {
        for step in 0..50_000 {
            let x = -(step as f32) * 1e-3;
            let (got, want) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((got - want).abs() <= 2.5e-7 * want, "{x}: {got}, {want}");
        }
        assert_eq!([exp(-50.0), exp(-1e30), exp(f32::NEG_INFINITY)], [0.0; 3]);
        assert!((exp(0.0) - 1.0).abs() == 0.0);
    }

    #[test]
    fn beliefs_count_every_label() {
        let mut scores = [[0.0, 0.0, -1e30, -1e30]];
        softmax(&mut scores, &[[1.0, 3.0, 0.0, 0.0]]);
        assert_eq!(scores, [[0.25, 0.25, 0.0, 0.0]]);
    }
}
