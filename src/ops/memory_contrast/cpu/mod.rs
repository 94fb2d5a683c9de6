//! CPU code: the bank in tiles, each multiplied with all queries and summed again with the exponentials as weights.
//!
//! Deterministic: the tiles are shared out among a number of streams that depends on the sizes alone, and what the
//! streams found is put together in their order.

mod bank;
mod finish;
mod stream;

use candle_core::{Result, Shape, Tensor};
use rayon::prelude::*;

use self::bank::{Bank, tiles};
use self::stream::Stream;
use super::{MemoryContrastSpec, NORMALIZE_EPSILON, device};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::kernel::{Array, Kernel, Real};
use crate::ops::vector;

/// Numbers all streams together may keep: half a MiB of float32.
const PARTIAL_NUMBERS: usize = 1 << 17;
/// How many streams there are at least and at most, if there are as many tiles.
const STREAMS: [usize; 2] = [4, 64];

pub(super) struct MemoryContrast {
    /// `(K, length, D)`.
    pub(super) bank: Tensor,
    pub(super) filled: Vec<u32>,
    pub(super) classes: Vec<[usize; 2]>,
    /// Both where the bank is: `(K)` and `(P, 2)`, u32.
    pub(super) filled_there: Tensor,
    pub(super) classes_there: Tensor,
    pub(super) spec: MemoryContrastSpec,
    pub(super) with_gradient: bool,
}

impl Kernel<1> for MemoryContrast {
    const NAME: &'static str = "memory_contrast";

    /// `(P, 2)`, and with the gradient `(P, 2 + 2 D)`: behind the two losses their gradients by the query.
    fn forward<T: Real>(&self, [queries]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let queries = Queries::new(queries, &self.classes, &self.spec);
        let width = if self.with_gradient { 2 + 2 * queries.dim } else { 2 };
        let result = bank::with(&self.bank, |bank| self.run(&queries, bank))?;
        Ok((result, (queries.len, width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [queries]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::forward(self, gpu, queries)
    }

    /// The gradients are there already; what remains is their sum, weighted by those of the two losses.
    fn backward(&self, [queries]: [&Tensor; 1], result: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        let (dim, result) = (queries.dim(1)?, result.detach());
        let weighted = |which: usize| -> Result<Tensor> {
            result.narrow(1, 2 + which * dim, dim)?.broadcast_mul(&grad.narrow(1, which, 1)?)
        };
        Ok([Some((weighted(0)? + weighted(1)?)?)])
    }
}

impl MemoryContrast {
    fn run<T: Real>(&self, queries: &Queries<'_, T>, bank: Bank<'_, T>) -> Vec<T> {
        let tiles = tiles(&self.filled, self.bank.dims()[1], queries.dim);
        let streams = PARTIAL_NUMBERS / (queries.len * queries.dim).max(1);
        let streams = streams.clamp(STREAMS[0], STREAMS[1]);
        let parts: Vec<Stream<'_, T>> = tiles
            .par_chunks(tiles.len().div_ceil(streams).max(1))
            .map(|tiles| {
                let mut stream = Stream::new(queries, self.with_gradient);
                let mut scratch = Vec::new();
                for tile in tiles {
                    stream.pass(tile, bank.rows(tile, queries.dim, &mut scratch));
                }
                stream
            })
            .collect();
        let counts = self.filled.iter().map(|filled| *filled as usize).collect::<Vec<usize>>();
        let totals = Stream::joined(queries, self.with_gradient, parts);
        let losses = finish::losses(queries, &totals, &counts, &self.spec);
        if !self.with_gradient {
            return losses.iter().flat_map(|pair| pair.iter().map(|loss| loss.value)).collect();
        }
        finish::with_gradients(queries, &totals, &losses, &tiles, bank)
    }
}

/// The queries, and what they are compared with.
struct Queries<'a, T> {
    /// As unit vectors.
    units: Vec<T>,
    /// Their lengths, as they are.
    norms: Vec<T>,
    len: usize,
    dim: usize,
    classes: &'a [[usize; 2]],
    temperature: T,
}

impl<'a, T: Real> Queries<'a, T> {
    fn new(queries: Array<'_, T>, classes: &'a [[usize; 2]], spec: &MemoryContrastSpec) -> Self {
        let (len, dim) = (queries.dims[0], queries.dims[1]);
        let mut norms = vec![T::zero(); len];
        if dim > 0 {
            vector::squares(queries.values, dim, &mut norms);
        }
        norms.iter_mut().for_each(|norm| *norm = norm.sqrt());
        let units = queries.values.iter().enumerate().map(|(i, &x)| x / at_least_epsilon(norms[i / dim])).collect();
        let temperature = T::from_f64(spec.temperature);
        Self { units, norms, len, dim, classes, temperature }
    }
}

/// The divisor that makes a vector of that length a unit vector.
fn at_least_epsilon<T: Real>(norm: T) -> T {
    let epsilon = T::from_f64(NORMALIZE_EPSILON);
    if norm < epsilon { epsilon } else { norm }
}
