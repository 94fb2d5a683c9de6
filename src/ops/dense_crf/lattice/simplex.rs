//! Where points lie in the lattice: the corners' common base, the order of the coordinates, the weights.
//!
//! A point of `d` coordinates is lifted into the plane `Σ y = 0` of `d + 1` coordinates, where the lattice is what is left
//! of `(d+1) Z^(d+1)` and its shifts. Rounding finds the nearest point of remainder 0; the order of what is left over says
//! which of the simplices around it the point is in. Float32 in the order of the released code, many points at a time.

/// Points located together: what the compiler turns into vectors.
pub(super) const LANES: usize = 16;

/// The largest number that [`round`] and [`whole`] take.
pub(super) const LARGEST: f32 = (1 << 21) as f32;

// Adding it leaves no room for a fraction; the sum's low bits are the whole number in two's complement.
const ROUNDER: f32 = (3 << 22) as f32;

/// Coordinates brought to the scale of the lattice; the last row is not used.
pub(super) type Points<const N: usize> = [[f32; LANES]; N];

/// The simplices of some points. `N = d + 1`.
pub(super) struct Simplices<const N: usize> {
    /// The corner of remainder 0, in multiples of `N`.
    pub(super) base: [[i32; LANES]; N],
    /// Place of every coordinate in descending order of what is left over.
    pub(super) rank: [[f32; LANES]; N],
    /// What is left over, in multiples of `N`.
    pub(super) rest: [[f32; LANES]; N],
}

/// Factor of coordinate `index` that makes a Gaussian of width 1 what the blur of the lattice is (Adams et al., p. 5, 6).
pub(super) fn scale<const N: usize>(index: usize) -> f32 {
    let spread = ((2.0f64 / 3.0).sqrt() * N as f64) as f32;
    (1.0 / (((index + 2) * (index + 1)) as f64).sqrt() * f64::from(spread)) as f32
}

fn round(value: f32) -> f32 {
    (value + ROUNDER) - ROUNDER
}

fn whole(value: f32) -> i32 {
    (value + ROUNDER).to_bits().wrapping_sub(ROUNDER.to_bits()).cast_signed()
}

/// Locates points.
pub(super) fn locate<const N: usize>(points: &Points<N>) -> Simplices<N> {
    let lifted = lift(points);
    let inverse = 1.0 / N as f32;
    let mut nearest = [[0.0; LANES]; N];
    let mut sum = [0.0; LANES];
    for (nearest, lifted) in nearest.iter_mut().zip(&lifted) {
        for lane in 0..LANES {
            nearest[lane] = round(inverse * lifted[lane]);
            sum[lane] += nearest[lane];
        }
    }
    let mut rank = ranks(&lifted, &nearest);
    // Where the rounded point is not in the plane, the coordinates that were rounded farthest go back.
    let mut simplices = Simplices { base: [[0; LANES]; N], rank, rest: [[0.0; LANES]; N] };
    for i in 0..N {
        for lane in 0..LANES {
            let shifted = rank[i][lane] + sum[lane];
            let up = if shifted < 0.0 { 1.0 } else { 0.0 };
            let down = if shifted >= N as f32 { 1.0 } else { 0.0 };
            rank[i][lane] = shifted + (up - down) * N as f32;
            let multiple = nearest[i][lane] + (up - down);
            simplices.base[i][lane] = whole(multiple);
            simplices.rest[i][lane] = (lifted[i][lane] - multiple * N as f32) * inverse;
        }
    }
    simplices.rank = rank;
    simplices
}

fn lift<const N: usize>(points: &Points<N>) -> [[f32; LANES]; N] {
    let mut lifted = [[0.0; LANES]; N];
    let mut sum = [0.0; LANES];
    for i in (1..N).rev() {
        for lane in 0..LANES {
            lifted[i][lane] = sum[lane] - i as f32 * points[i - 1][lane];
            sum[lane] += points[i - 1][lane];
        }
    }
    lifted[0] = sum;
    lifted
}

// How many coordinates have more left over; of equals the earlier one counts as more.
fn ranks<const N: usize>(lifted: &[[f32; LANES]; N], nearest: &[[f32; LANES]; N]) -> [[f32; LANES]; N] {
    let mut rest = [[0.0; LANES]; N];
    for i in 0..N {
        for lane in 0..LANES {
            rest[i][lane] = lifted[i][lane] - nearest[i][lane] * N as f32;
        }
    }
    let mut rank = [[0.0; LANES]; N];
    for i in 0..N {
        for j in i + 1..N {
            for lane in 0..LANES {
                let less = if rest[i][lane] < rest[j][lane] { 1.0 } else { 0.0 };
                rank[i][lane] += less;
                rank[j][lane] += 1.0 - less;
            }
        }
    }
    rank
}
