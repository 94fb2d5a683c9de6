//! [`Lattice`]: a Gaussian filter of any number of channels, by splatting, blurring and slicing.

use super::simplex::{LANES, Points, Simplices, locate, scale};
use super::vertices::{Packing, VertexTable};
use crate::error::{Error, Result};

/// The released code takes pixels four at a time and fills the last four up with the point 0. Its vertices are there,
/// empty, and what is blurred can pass through them.
const RELEASED_LANES: usize = 4;

/// Keeps the divisor from 0; the released code's constant.
const EPSILON: f32 = 1e-20;

// Marks the last vertex of a chain.
const LAST: u32 = 1 << 31;

/// A corner of the simplex a pixel is in.
#[derive(Clone, Copy, Default)]
pub(super) struct Corner {
    pub(super) vertex: u32,
    pub(super) weight: f32,
}

/// Pixels in a permutohedral lattice of `N - 1` dimensions (Adams, Baek, Davis, 2010).
pub(super) struct Lattice<const N: usize> {
    corners: Vec<[Corner; N]>,
    // Per axis, the vertices that have a neighbour along it, chain after chain.
    chains: [Vec<u32>; N],
    vertices: usize,
}

impl<const N: usize> Lattice<N> {
    /// The lattice of `pixels` points. Coordinate `i` of a point is `levels[i]` over `widths[i]`, with `levels` below
    /// `extents[i]`; `what` names the widths.
    pub(super) fn new(
        pixels: usize,
        what: &str,
        widths: &[f64],
        extents: &[usize],
        levels: impl Fn(usize) -> [usize; N],
    ) -> Result<Self> {
        let mut tables: [Vec<f32>; N] = std::array::from_fn(|_| Vec::new());
        for (i, (table, (&width, &extent))) in tables.iter_mut().zip(widths.iter().zip(extents)).enumerate() {
            *table = (0..extent).map(|level| level as f32 / width as f32 * scale::<N>(i)).collect();
        }
        let highest = std::array::from_fn(|i| tables[i].last().copied().unwrap_or(0.0));
        let packing = Packing::<N>::new(&highest).filter(|_| tables.iter().flatten().all(|value| value.is_finite()));
        let packing = packing.ok_or_else(|| {
            let reason = "too small for the lattice, whose cells cannot be counted; the exact kernel takes any";
            Error::config(what, reason)
        })?;
        if pixels.checked_mul(N).is_none_or(|corners| corners >= LAST as usize) {
            let reason = format!("at most {} pixels fit a lattice, there are {pixels}", LAST as usize / N);
            return Err(Error::value("crf image", reason));
        }
        let (corners, table) = place_pixels(pixels, &packing, &tables, levels);
        let chains = std::array::from_fn(|axis| chains(&table, &packing, axis));
        Ok(Self { corners, chains, vertices: table.keys().len() })
    }

    /// The corners of every pixel.
    pub(super) fn corners(&self) -> &[[Corner; N]] {
        &self.corners
    }

    /// Vertices of the lattice.
    pub(super) fn vertices(&self) -> usize {
        self.vertices
    }

    /// Makes the filter `strength · k(i,j) / √(n_i n_j)` with `n` its row sums: the corners' weights take all of it,
    /// half on the way in, half on the way out.
    pub(super) fn normalized(mut self, strength: f64) -> Self {
        let mut values = vec![[0.0f32]; self.vertices];
        for corner in self.corners.iter().flatten() {
            values[corner.vertex as usize][0] += corner.weight;
        }
        self.blur(&mut values, 1);
        // What the blur lets a single point keep of itself, on average.
        let gain = 1.0 / (1.0 + 0.5f32.powi(N as i32 - 1));
        let strength = (strength * f64::from(gain)).sqrt() as f32;
        for corners in &mut self.corners {
            let sum: f32 = corners.iter().map(|corner| corner.weight * gain * values[corner.vertex as usize][0]).sum();
            let factor = strength / (sum + EPSILON).sqrt();
            for corner in corners {
                corner.weight *= factor;
            }
        }
        self
    }

    /// Blurs values of the vertices along every axis, each with half of its two neighbours. In place: a chain of
    /// neighbours is walked once, and a vertex without neighbours is not touched.
    pub(super) fn blur<const B: usize>(&self, values: &mut [[f32; B]], groups: usize) {
        for chain in &self.chains {
            for group in 0..groups {
                let mut before = [0.0; B];
                let mut here: Option<[f32; B]> = None;
                let at = |entry: u32| (entry & !LAST) as usize * groups + group;
                for (place, &entry) in chain.iter().enumerate() {
                    let own = here.take().unwrap_or_else(|| values[at(entry)]);
                    let ends = entry & LAST != 0;
                    let after = if ends { [0.0; B] } else { values[at(chain[place + 1])] };
                    let out = &mut values[at(entry)];
                    for lane in 0..B {
                        out[lane] = own[lane] + 0.5 * (before[lane] + after[lane]);
                    }
                    before = if ends { [0.0; B] } else { own };
                    here = (!ends).then_some(after);
                }
            }
        }
    }
}

fn place_pixels<const N: usize>(
    pixels: usize,
    packing: &Packing<N>,
    tables: &[Vec<f32>; N],
    levels: impl Fn(usize) -> [usize; N],
) -> (Vec<[Corner; N]>, VertexTable) {
    let mut table = VertexTable::new(pixels / 2);
    let mut corners = Vec::with_capacity(pixels);
    // The pixel before shares most corners: no need to look those up.
    let mut known = [(u64::MAX, 0u32); N];
    let mut points: Points<N> = [[0.0; LANES]; N];
    for first in (0..pixels).step_by(LANES) {
        let len = LANES.min(pixels - first);
        for lane in 0..len {
            let levels = levels(first + lane);
            for (i, (point, table)) in points.iter_mut().zip(tables).enumerate().take(N - 1) {
                point[lane] = table[levels[i]];
            }
        }
        let simplices = locate(&points);
        for lane in 0..len {
            let (keys, weights) = corners_of(&simplices, lane, packing);
            let mut own = [Corner::default(); N];
            for i in 0..N {
                if known[i].0 != keys[i] {
                    known[i] = (keys[i], table.number(keys[i]));
                }
                own[i] = Corner { vertex: known[i].1, weight: weights[i] };
            }
            corners.push(own);
        }
    }
    if !pixels.is_multiple_of(RELEASED_LANES) {
        let (keys, _) = corners_of(&locate(&[[0.0; LANES]; N]), 0, packing);
        for key in keys {
            table.number(key);
        }
    }
    (corners, table)
}

// Corner r has remainder r: the coordinates ranked last by what is left over wrap round first.
fn corners_of<const N: usize>(simplices: &Simplices<N>, lane: usize, packing: &Packing<N>) -> ([u64; N], [f32; N]) {
    let mut stride_at = [0u64; N];
    let mut rest_at = [0.0f32; N];
    for (i, stride) in packing.strides().iter().enumerate() {
        // Ranks are a permutation; the bound is there so that rounding of absurd inputs cannot panic.
        let rank = (simplices.rank[i][lane] as usize).min(N - 1);
        stride_at[rank] = *stride;
        rest_at[rank] = simplices.rest[i][lane];
    }
    let mut keys = [packing.pack(|i| simplices.base[i][lane]); N];
    let mut weights = [rest_at[N - 1] + (1.0 - rest_at[0]); N];
    for r in 1..N {
        keys[r] = keys[r - 1].wrapping_add(1).wrapping_sub(stride_at[N - r]);
        weights[r] = rest_at[N - 1 - r] - rest_at[N - r];
    }
    (keys, weights)
}

fn chains<const N: usize>(table: &VertexTable, packing: &Packing<N>, axis: usize) -> Vec<u32> {
    let nobody = u32::MAX;
    let mut next = vec![nobody; table.keys().len()];
    let mut is_first = vec![true; next.len()];
    for (vertex, &key) in table.keys().iter().enumerate() {
        if let Some(neighbour) = table.find(packing.next(key, axis)) {
            next[vertex] = neighbour;
            is_first[neighbour as usize] = false;
        }
    }
    let mut chains = Vec::new();
    for head in (0..next.len()).filter(|vertex| is_first[*vertex] && next[*vertex] != nobody) {
        let mut vertex = head as u32;
        while next[vertex as usize] != nobody {
            chains.push(vertex);
            vertex = next[vertex as usize];
        }
        chains.push(vertex | LAST);
    }
    chains
}
