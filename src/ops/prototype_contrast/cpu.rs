//! CPU code: tiles of pixels, one matrix product for all sets of prototypes, everything else on vectors of pixels.
//!
//! Deterministic: an image is one thread's, its tiles are fixed, and values are summed pixel by pixel in float64.

use std::sync::Arc;

use candle_core::{Result, Shape, Tensor, bail};
use pulp::Arch;
use rayon::prelude::*;

use super::sampling::Members;
use super::terms::{Gradients, Losses};
use super::tile::{Backward, Forward, Pixels, Project, TILE};
use super::{PixelWeights, Plan, device};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::gemm::{Matrix, MatrixMut, product};
use crate::ops::kernel::{Array, Kernel, Real, detached3, values, values_as};

pub(super) struct Contrast {
    pub(super) plan: Arc<Plan>,
}

impl Kernel<2> for Contrast {
    const NAME: &'static str = "prototype_contrast";

    fn forward<T: Real>(&self, [features, prototypes]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let plan = &*self.plan;
        let labels = labels(plan)?;
        let images = Images::new(plan, features, prototypes);
        let losses = images.losses(&labels); // (terms, P) and, of sampled terms, the own logits
        let mut result = vec![T::zero(); plan.len()];
        let (sums, times) = result.split_at_mut(plan.terms.len());
        let mut times = times.chunks_mut(plan.pixels);
        for (term, sum) in sums.iter_mut().enumerate() {
            let times = plan.terms[term].is_sampled().then(|| times.next()).flatten();
            if let (Some(times), PixelWeights::Classes { half: Some(half), .. }) = (times, &plan.terms[term].weights) {
                let members = Members::new(labels.row(plan, term), plan.classes);
                times.copy_from_slice(&members.multiplicities(&losses.own[term], *half));
                *sum = images.sum(term, &labels, &losses.values[term], times)?;
            } else {
                *sum = images.sum(term, &labels, &losses.values[term], &[])?;
            }
        }
        Ok((result, plan.len().into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::forward(&self.plan, gpu, inputs)
    }

    fn backward(&self, inputs: [&Tensor; 2], result: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 2]> {
        let [features, prototypes] = inputs;
        let gradient = Gradient { plan: Arc::clone(&self.plan) };
        let both = Tensor::cat(&[grad, result], 0)?;
        Ok([Some(detached3(gradient, features, &prototypes.detach(), &both)?), None])
    }
}

/// Of features, prototypes, and the result with its gradient before it.
struct Gradient {
    plan: Arc<Plan>,
}

impl Kernel<3> for Gradient {
    const NAME: &'static str = "prototype_contrast gradient";

    fn forward<T: Real>(&self, inputs: [Array<'_, T>; 3]) -> Result<(Vec<T>, Shape)> {
        let [features, prototypes, both] = inputs;
        let plan = &*self.plan;
        let labels = labels(plan)?;
        let (grad, result) = both.values.split_at(plan.len());
        let images = Images::new(plan, features, prototypes);
        let mut times = result[plan.terms.len()..].chunks(plan.pixels);
        let weights = (0..plan.terms.len()).map(|term| {
            let times = if plan.terms[term].is_sampled() { times.next() } else { None };
            images.weights(term, &labels, times.unwrap_or(&[]), grad[term])
        });
        let weights = weights.collect::<Result<Vec<Weights<T>>>>()?;
        Ok((images.gradient(&labels, &weights), features.dims.into()))
    }

    fn device(&self, gpu: &dyn Gpu, inputs: [DeviceArray<'_>; 3]) -> Result<(Buffer, Shape)> {
        device::gradient(&self.plan, gpu, inputs)
    }
}

/// The classes of all pixels, checked.
struct Labels(Vec<u32>);

impl Labels {
    /// Those a term goes by.
    fn row(&self, plan: &Plan, term: usize) -> &[u32] {
        &self.0[plan.terms[term].labels * plan.pixels..][..plan.pixels]
    }
}

fn labels(plan: &Plan) -> Result<Labels> {
    let labels = values(&plan.labels, |labels: &[u32]| labels.to_vec())?;
    match labels.iter().find(|label| **label as usize >= plan.classes) {
        Some(label) => bail!("labels of the pixels: expected classes below {}, got {label}", plan.classes),
        None => Ok(Labels(labels)),
    }
}

/// What a term's pixels weigh, times something.
pub(super) enum Weights<T> {
    Same(T),
    Each(Vec<T>),
}

struct Images<'a, T> {
    plan: &'a Plan,
    features: &'a [T],
    prototypes: &'a [T],
    dim: usize,
    /// Pixels of an image.
    area: usize,
}

/// Of each term, all pixels.
struct AllLosses<T> {
    values: Vec<Vec<T>>,
    own: Vec<Vec<T>>,
}

impl<'a, T: Real> Images<'a, T> {
    fn new(plan: &'a Plan, features: Array<'a, T>, prototypes: Array<'a, T>) -> Self {
        let [_, dim, h, w] = features.dims else { unreachable!("four axes, as checked before") };
        Self { plan, features: features.values, prototypes: prototypes.values, dim: *dim, area: h * w }
    }

    /// First pixel and width of each tile, image by image.
    fn tiles(&self) -> Vec<(usize, usize)> {
        let images = (0..self.plan.pixels).step_by(self.area);
        let of_image =
            |start: usize| (0..self.area).step_by(TILE).map(move |tile| (start + tile, TILE.min(self.area - tile)));
        images.flat_map(of_image).collect()
    }

    /// Features of a tile, a row for each channel.
    fn tile(&self, (start, width): (usize, usize)) -> Matrix<'a, T> {
        let image = start / self.area * self.area;
        Matrix::new(&self.features[image * self.dim + start - image..], self.dim, width, self.area)
    }

    fn rows(&self) -> usize {
        self.plan.sets * self.plan.classes
    }

    // Inner products of raw features with all prototypes.
    fn products(&self, tile: (usize, usize), logits: &mut [T]) {
        let result = MatrixMut::new(logits, self.rows(), tile.1, TILE);
        let prototypes = Matrix::new(self.prototypes, self.rows(), self.dim, self.dim);
        product(result, false, prototypes, self.tile(tile));
    }

    // Pointers to the features of a tile, for sums over channels.
    fn pixels(&self, (start, width): (usize, usize)) -> Pixels<'a, T> {
        let image = start / self.area * self.area;
        let features = &self.features[image * self.dim + start - image..];
        Pixels { features, dim: self.dim, stride: self.area, width }
    }

    fn losses(&self, labels: &Labels) -> AllLosses<T> {
        let (plan, terms) = (self.plan, self.plan.terms.len());
        let of_tile = |room: &mut Room<T>, tile: (usize, usize)| {
            self.products(tile, &mut room.logits);
            let mut losses = vec![T::zero(); 2 * terms * TILE];
            let mut scratch = Losses::new(plan);
            Arch::new().dispatch(Forward {
                plan,
                pixels: self.pixels(tile),
                labels: &labels.0[tile.0..],
                logits: &mut room.logits,
                losses: &mut losses,
                scratch: &mut scratch,
            });
            losses
        };
        let tiles = self.tiles();
        let losses: Vec<Vec<T>> =
            tiles.par_iter().map_init(|| Room::new(self.rows()), |room, tile| of_tile(room, *tile)).collect();
        let gather = |row: usize| {
            let parts = losses.iter().zip(&tiles).map(|(losses, (_, width))| &losses[row * TILE..][..*width]);
            let mut all = Vec::with_capacity(plan.pixels);
            parts.for_each(|part| all.extend_from_slice(part));
            all
        };
        let own = |term: usize| if plan.terms[term].is_sampled() { gather(terms + term) } else { Vec::new() };
        AllLosses { values: (0..terms).map(gather).collect(), own: (0..terms).map(own).collect() }
    }

    /// The weights of a term times `factor`; `times` is how often each pixel was chosen, where pixels are.
    fn weights(&self, term: usize, labels: &Labels, times: &[T], factor: T) -> Result<Weights<T>> {
        let plan = self.plan;
        Ok(match &plan.terms[term].weights {
            PixelWeights::Uniform => Weights::Same(factor / T::from_f64(plan.pixels as f64)),
            PixelWeights::Each(weights) => {
                Weights::Each(values_as::<T>(weights)?.into_iter().map(|weight| weight * factor).collect())
            }
            PixelWeights::Classes { half, count_empty } => {
                let labels = labels.row(plan, term);
                let shares = Members::new(labels, plan.classes).shares(half.is_some(), *count_empty);
                let shares: Vec<T> = shares.into_iter().map(|share| T::from_f64(share) * factor).collect();
                let share = |label: &u32| shares[*label as usize];
                Weights::Each(match half {
                    Some(_) => labels.iter().zip(times).map(|(label, times)| share(label) * *times).collect(),
                    None => labels.iter().map(share).collect(),
                })
            }
        })
    }

    fn sum(&self, term: usize, labels: &Labels, losses: &[T], times: &[T]) -> Result<T> {
        let sum = match self.weights(term, labels, times, T::one())? {
            Weights::Same(_) => losses.iter().map(|loss| loss.to_f64()).sum::<f64>() / losses.len() as f64,
            Weights::Each(weights) => {
                losses.iter().zip(&weights).map(|(loss, weight)| loss.to_f64() * weight.to_f64()).sum::<f64>()
            }
        };
        Ok(T::from_f64(sum))
    }

    fn gradient(&self, labels: &Labels, weights: &[Weights<T>]) -> Vec<T> {
        let mut result = vec![T::zero(); self.features.len()];
        let tiles = self.tiles();
        let tiles = tiles.chunks(self.area.div_ceil(TILE)).collect::<Vec<_>>();
        let images = result.par_chunks_mut(self.dim * self.area).zip(tiles);
        images.for_each_init(
            || (Room::new(self.rows()), Gradients::new(self.plan)),
            |(room, scratch), (result, tiles)| {
                for &tile in tiles {
                    self.gradient_of_tile(tile, labels, weights, (room, scratch), result);
                }
            },
        );
        result
    }

    fn gradient_of_tile(
        &self,
        tile: (usize, usize),
        labels: &Labels,
        weights: &[Weights<T>],
        (room, scratch): (&mut Room<T>, &mut Gradients<T>),
        result: &mut [T],
    ) {
        self.products(tile, &mut room.logits);
        let mut along = [T::zero(); TILE];
        let pixels = self.pixels(tile);
        Arch::new().dispatch(Backward {
            plan: self.plan,
            pixels,
            labels: &labels.0[tile.0..],
            first: tile.0,
            logits: &mut room.logits,
            weights,
            gradient: &mut room.gradient,
            along: &mut along,
            scratch,
        });
        let result = &mut result[tile.0 % self.area..];
        let prototypes = Matrix::new(self.prototypes, self.rows(), self.dim, self.dim).transposed();
        let gradient = Matrix::new(&room.gradient, self.rows(), tile.1, TILE);
        product(MatrixMut::new(result, self.dim, tile.1, self.area), false, prototypes, gradient);
        Arch::new().dispatch(Project { pixels, along: &along, result });
    }
}

/// Logits of a tile and their gradient.
struct Room<T> {
    logits: Vec<T>,
    gradient: Vec<T>,
}

impl<T: Real> Room<T> {
    fn new(rows: usize) -> Self {
        Self { logits: vec![T::zero(); rows * TILE], gradient: vec![T::zero(); rows * TILE] }
    }
}
