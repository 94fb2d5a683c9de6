//! The exponential function in a form that compilers turn into vector instructions.

/// `exp(x)` within two units in the last place; below -87 it stays at about `exp(-87)`, above 88 at about `exp(88)`.
///
/// The library's function is a call per number, which costs more than all else a soft-max does.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    // Adding it moves the whole part of a small number into the lowest bits.
    const SHIFT: f32 = 12_582_912.0;
    // ln 2 in two parts, of which the first has few bits, so that its multiples are exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let x = if x < -87.0 { -87.0 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + SHIFT;
    let power = shifted - SHIFT;
    let rest = (x - power * LN_2[0]) - power * LN_2[1];
    let mut series = 1.987_569_1e-4;
    for coefficient in [1.398_199_9e-3, 8.333_452e-3, 4.166_579_6e-2, 1.666_666_5e-1, 0.5] {
        series = series * rest + coefficient;
    }
    let fraction = series * (rest * rest) + rest + 1.0;
    f32::from_bits(fraction.to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_within_two_units_of_the_exact_value() {
        for i in 0..=350_000u32 {
            let x = i as f32 * 5e-4 - 87.0;
            let want = f64::from(x).exp();
            let unit = f64::from(f32::from_bits((want as f32).to_bits() + 1)) - f64::from(want as f32);
            let error = (f64::from(super::exp(x)) - want).abs() / unit;
            assert!(error <= 2.0, "exp({x}) is {error} units off");
        }
        assert_eq!(super::exp(0.0), 1.0);
        assert!(super::exp(f32::NEG_INFINITY) < 1e-37 && super::exp(f32::INFINITY).is_finite());
    }
}
