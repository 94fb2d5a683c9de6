//! Vertices by number: a hash table from packed coordinates, and the steps from one vertex to its neighbours.

use super::simplex::LARGEST;

const NOBODY: u32 = u32::MAX;
const FEWEST_SLOTS: usize = 64;
// The golden ratio in 64 bits: spreads keys that differ in few low bits over the high ones.
const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Numbers vertices in the order they are met.
pub(super) struct VertexTable {
    slots: Vec<(u64, u32)>,
    keys: Vec<u64>,
}

impl VertexTable {
    /// An empty table with room for about `expected` vertices; it grows.
    pub(super) fn new(expected: usize) -> Self {
        let slots = expected.saturating_mul(2).max(FEWEST_SLOTS).next_power_of_two();
        Self { slots: vec![(0, NOBODY); slots], keys: Vec::new() }
    }

    /// Keys in the order of their numbers.
    pub(super) fn keys(&self) -> &[u64] {
        &self.keys
    }

    /// The number of a vertex, a new one if it was not met before.
    pub(super) fn number(&mut self, key: u64) -> u32 {
        let slot = self.slot(key);
        if self.slots[slot].1 != NOBODY {
            return self.slots[slot].1;
        }
        let vertex = self.keys.len() as u32;
        self.keys.push(key);
        self.slots[slot] = (key, vertex);
        if self.keys.len() * 2 > self.slots.len() {
            self.grow();
        }
        vertex
    }

    /// The number of a vertex that was met.
    pub(super) fn find(&self, key: u64) -> Option<u32> {
        let vertex = self.slots[self.slot(key)].1;
        (vertex != NOBODY).then_some(vertex)
    }

    // Where a key is, or would be.
    fn slot(&self, key: u64) -> usize {
        let last = self.slots.len() - 1;
        let mut slot = (key.wrapping_mul(SPREAD) >> 32) as usize & last;
        while self.slots[slot].1 != NOBODY && self.slots[slot].0 != key {
            slot = (slot + 1) & last;
        }
        slot
    }

    fn grow(&mut self) {
        self.slots = vec![(0, NOBODY); self.slots.len() * 2];
        for vertex in 0..self.keys.len() {
            let key = self.keys[vertex];
            let slot = self.slot(key);
            self.slots[slot] = (key, vertex as u32);
        }
    }
}

/// Packs the coordinates of vertices of one lattice into a number, remainder lowest. `N = d + 1`.
///
/// All coordinates of a vertex have one remainder modulo `N`, so the remainder is kept once, and of every coordinate but
/// the last, which follows from the others, how many times `N` it holds.
pub(super) struct Packing<const N: usize> {
    strides: [u64; N],
    // What the lowest vertex would be packed as.
    lowest: u64,
}

impl<const N: usize> Packing<N> {
    /// For points whose scaled coordinates are from 0 to `highest`; `None` when 64 bits are too few.
    pub(super) fn new(highest: &[f32; N]) -> Option<Self> {
        let mut strides = [0; N];
        let mut stride = N as u64;
        let mut lowest = 0u64;
        for i in 0..N - 1 {
            // Lifted coordinate i is the sum of those from i on, less i times the one before.
            let above: f32 = highest[i..N - 1].iter().sum();
            let below = if i == 0 { 0.0 } else { i as f32 * highest[i - 1] };
            // Also refuses what is no number.
            if !(above <= LARGEST && below <= LARGEST) {
                return None;
            }
            // Rounding, the way back into the plane, corners and neighbours: a step each.
            let margin = 4.0;
            let first = (-below / N as f32).floor() - margin;
            let len = (above / N as f32).ceil() + margin - first + 1.0;
            strides[i] = stride;
            lowest = lowest.wrapping_add((first as i64).cast_unsigned().wrapping_mul(stride));
            stride = stride.checked_mul(len as u64)?;
        }
        Some(Self { strides, lowest })
    }

    /// What one more of every coordinate adds.
    pub(super) fn strides(&self) -> &[u64; N] {
        &self.strides
    }

    /// The vertex of remainder 0 with these coordinates in multiples of `N`.
    pub(super) fn pack(&self, base: impl Fn(usize) -> i32) -> u64 {
        (0..N - 1).fold(self.lowest.wrapping_neg(), |key, i| {
            key.wrapping_add(i64::from(base(i)).cast_unsigned().wrapping_mul(self.strides[i]))
        })
    }

    /// The next vertex along an axis: `d` more of that coordinate, 1 less of all others.
    pub(super) fn next(&self, key: u64, axis: usize) -> u64 {
        let stride = self.strides[axis];
        if key.is_multiple_of(N as u64) {
            let others = self.strides.iter().fold(0u64, |sum, stride| sum.wrapping_add(*stride)).wrapping_sub(stride);
            key.wrapping_sub(others).wrapping_add(N as u64 - 1)
        } else {
            key.wrapping_add(stride).wrapping_sub(1)
        }
    }
}
