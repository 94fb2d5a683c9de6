//! Mean-field iterations of one image on its two lattices. Float32, pixel-major.
//!
//! A pixel gathers what the blurred lattices hold for it, decides, and splats its beliefs into the lattices of the next
//! iteration while its corners are at hand. Sums run in pixel order, on one thread: images are what runs in parallel.

use super::filter::{Corner, Lattice};
use super::softmax::softmax;
use crate::ops::dense_crf::channels::{Beliefs, Channels};

/// Corners of a pixel in the lattice of positions, `d + 1`.
pub(super) const SPATIAL: usize = 3;
/// Corners of a pixel in the lattice of positions and colours.
pub(super) const BILATERAL: usize = 6;

// Pixels that decide together.
const BLOCK: usize = 16;

// Channels of a group where one group is not enough.
const GROUP: usize = 16;

/// Values a pixel has room for when it has `count` channels: those [`mean_field`] has code for.
pub(in crate::ops::dense_crf) fn padded(count: usize) -> usize {
    let own = [4, 8, 12, 16, 24, 32].into_iter().find(|width| count <= *width);
    own.unwrap_or_else(|| count.next_multiple_of(GROUP))
}

/// Both lattices of an image, weights and all.
pub(super) struct Lattices<'a> {
    pub(super) spatial: &'a Lattice<SPATIAL>,
    pub(super) bilateral: &'a Lattice<BILATERAL>,
}

/// The posterior after some iterations, from `softmax(scores)`.
pub(super) fn mean_field(lattices: &Lattices<'_>, channels: &Channels<f32>, iterations: usize) -> Beliefs {
    let values = match channels.stride {
        4 => iterate(lattices, channels, iterations, [[0.0; 4]; BLOCK]),
        8 => iterate(lattices, channels, iterations, [[0.0; 8]; BLOCK]),
        12 => iterate(lattices, channels, iterations, [[0.0; 12]; BLOCK]),
        16 => iterate(lattices, channels, iterations, [[0.0; 16]; BLOCK]),
        24 => iterate(lattices, channels, iterations, [[0.0; 24]; BLOCK]),
        32 => iterate(lattices, channels, iterations, [[0.0; 32]; BLOCK]),
        more => iterate(lattices, channels, iterations, vec![[0.0; GROUP]; more / GROUP * BLOCK]),
    };
    Beliefs { values, stride: channels.stride }
}

// Values of the vertices of both lattices, `groups` rows a vertex.
struct Values<const B: usize> {
    spatial: Vec<[f32; B]>,
    bilateral: Vec<[f32; B]>,
}

impl<const B: usize> Values<B> {
    fn zeros(lattices: &Lattices<'_>, groups: usize) -> Self {
        Self {
            spatial: vec![[0.0; B]; lattices.spatial.vertices() * groups],
            bilateral: vec![[0.0; B]; lattices.bilateral.vertices() * groups],
        }
    }

    fn clear(&mut self) {
        self.spatial.fill([0.0; B]);
        self.bilateral.fill([0.0; B]);
    }
}

// `scratch` is the channels of a block: an array where their number is known beforehand, so that loops over it unroll.
fn iterate<const B: usize, S: AsMut<[[f32; B]]> + Clone>(
    lattices: &Lattices<'_>,
    channels: &Channels<f32>,
    iterations: usize,
    mut scratch: S,
) -> Vec<f32> {
    let scores = channels.scores.as_chunks::<B>().0;
    let multiplicity = channels.multiplicity.as_chunks::<B>().0;
    let groups = scratch.as_mut().len() / BLOCK;
    let mut beliefs = Vec::with_capacity(if iterations == 0 { scores.len() } else { 0 });
    if iterations == 0 {
        decide(lattices, None, scores, multiplicity, scratch, |_, belief: &[[f32; B]]| {
            beliefs.extend_from_slice(belief.as_flattened());
        });
        return beliefs;
    }
    let mut now = Values::zeros(lattices, groups);
    let mut next = Values::zeros(lattices, groups);
    decide(lattices, None, scores, multiplicity, scratch.clone(), |pixel, belief| {
        splat(lattices, &mut now, pixel, belief);
    });
    for _ in 1..iterations {
        blur(lattices, &mut now, groups);
        next.clear();
        decide(lattices, Some(&now), scores, multiplicity, scratch.clone(), |pixel, belief| {
            splat(lattices, &mut next, pixel, belief);
        });
        std::mem::swap(&mut now, &mut next);
    }
    blur(lattices, &mut now, groups);
    drop(next);
    beliefs.reserve_exact(channels.scores.len());
    decide(lattices, Some(&now), scores, multiplicity, scratch, |_, belief| {
        beliefs.extend_from_slice(belief.as_flattened());
    });
    beliefs
}

fn blur<const B: usize>(lattices: &Lattices<'_>, values: &mut Values<B>, groups: usize) {
    let Values { spatial, bilateral } = values;
    lattices.spatial.blur(spatial, groups);
    lattices.bilateral.blur(bilateral, groups);
}

// Hands `then` the beliefs of every pixel: the soft-max of its scores and of what it gathers `from` the lattices.
#[inline(always)]
fn decide<const B: usize, S: AsMut<[[f32; B]]>>(
    lattices: &Lattices<'_>,
    from: Option<&Values<B>>,
    scores: &[[f32; B]],
    multiplicity: &[[f32; B]],
    mut scratch: S,
    mut then: impl FnMut(usize, &[[f32; B]]),
) {
    let scratch = scratch.as_mut();
    let groups = scratch.len() / BLOCK;
    let multiplicity = &multiplicity[..groups];
    for (block, scores) in scores.chunks(BLOCK * groups).enumerate() {
        let beliefs = &mut scratch[..scores.len()];
        let first = block * BLOCK;
        beliefs.copy_from_slice(scores);
        if let Some(values) = from {
            for (lane, belief) in beliefs.chunks_exact_mut(groups).enumerate() {
                gather(&lattices.spatial.corners()[first + lane], &values.spatial, belief);
                gather(&lattices.bilateral.corners()[first + lane], &values.bilateral, belief);
            }
        }
        softmax(beliefs, multiplicity);
        for (lane, belief) in beliefs.chunks_exact(groups).enumerate() {
            then(first + lane, belief);
        }
    }
}

#[inline(always)]
fn gather<const B: usize>(corners: &[Corner], values: &[[f32; B]], sums: &mut [[f32; B]]) {
    let groups = sums.len();
    for (group, sum) in sums.iter_mut().enumerate() {
        let mut total = *sum;
        for corner in corners {
            add(&mut total, corner.weight, &values[corner.vertex as usize * groups + group]);
        }
        *sum = total;
    }
}

#[inline(always)]
fn splat<const B: usize>(lattices: &Lattices<'_>, into: &mut Values<B>, pixel: usize, belief: &[[f32; B]]) {
    scatter(&lattices.spatial.corners()[pixel], &mut into.spatial, belief);
    scatter(&lattices.bilateral.corners()[pixel], &mut into.bilateral, belief);
}

#[inline(always)]
fn scatter<const B: usize>(corners: &[Corner], values: &mut [[f32; B]], belief: &[[f32; B]]) {
    let groups = belief.len();
    for (group, belief) in belief.iter().enumerate() {
        let belief = *belief;
        for corner in corners {
            add(&mut values[corner.vertex as usize * groups + group], corner.weight, &belief);
        }
    }
}

// Four at a time, all read before any is written: the compiler need not ask whether the two overlap.
#[inline(always)]
fn add<const B: usize>(sum: &mut [f32; B], weight: f32, values: &[f32; B]) {
    for (sum, value) in sum.as_chunks_mut::<4>().0.iter_mut().zip(values.as_chunks::<4>().0) {
        let (s, v) = (*sum, *value);
        *sum = [s[0] + weight * v[0], s[1] + weight * v[1], s[2] + weight * v[2], s[3] + weight * v[3]];
    }
}
