//! CPU code.
//!
//! Deterministic: sums run over the images in order, and in each over the pixels from the best on; work is split over
//! channels.

use candle_core::{Result, Shape, Tensor, bail};
use rayon::prelude::*;

use super::device;
use crate::ops::Order;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, IndexKernel, Kernel, Real, detached1, values, values_as};
use crate::ops::top_k::select::{Selection, key};

/// Channels a thread takes at once, whose sums it keeps in registers.
const CHANNELS: usize = 8;

pub(super) struct TopPixelIndices {
    /// `(channels)`, u32.
    pub(super) channels: Tensor,
    pub(super) k: usize,
}

impl IndexKernel for TopPixelIndices {
    const NAME: &'static str = "top_pixels";

    fn indices<T: Real>(&self, scores: Array<'_, T>) -> Result<(Vec<u32>, Shape)> {
        let (all, pixels) = (scores.dims[1], scores.dims[2] * scores.dims[3]);
        let channels = values(&self.channels, <[u32]>::to_vec)?;
        let mut result = vec![0u32; channels.len() * self.k];
        result.par_chunks_mut(self.k).zip(&channels).for_each_init(
            Selection::default,
            |selection, (result, &channel)| {
                let planes = scores.values.chunks_exact(pixels).skip(channel as usize).step_by(all);
                selection.smallest(planes.flatten().map(|&score| key(score, Order::Largest)), result);
            },
        );
        Ok((result, (channels.len(), self.k).into()))
    }

    fn device(&self, gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        device::indices(self, gpu, scores)
    }
}

/// The scores at chosen pixels.
pub(super) struct PixelValues {
    /// `(channels)`, u32.
    pub(super) channels: Tensor,
    /// `(channels, k)`, u32.
    pub(super) indices: Tensor,
}

impl Kernel<1> for PixelValues {
    const NAME: &'static str = "values of top_pixels";

    fn forward<T: Real>(&self, [scores]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let (all, pixels) = (scores.dims[1], scores.dims[2] * scores.dims[3]);
        let (count, k) = self.indices.dims2()?;
        let channels = values(&self.channels, <[u32]>::to_vec)?;
        let at = |(i, &index): (usize, &u32)| {
            let (image, pixel) = (index as usize / pixels, index as usize % pixels);
            scores.values[(image * all + channels[i / k] as usize) * pixels + pixel]
        };
        Ok((values(&self.indices, |indices: &[u32]| indices.iter().enumerate().map(at).collect())?, (count, k).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [scores]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::values(self, gpu, scores)
    }
}

#[derive(Clone)]
pub(super) struct PixelSums {
    /// `(C, k)`, u32.
    pub(super) indices: Tensor,
    /// `(C, k)`, float32 or float64.
    pub(super) weights: Tensor,
}

/// A pixel of an image that counts for a class.
struct Chosen<T> {
    image: usize,
    pixel: usize,
    class: usize,
    weight: T,
}

impl PixelSums {
    /// All chosen pixels, by image, then by class, the best first.
    fn chosen<T: Real>(&self, images: usize, pixels: usize) -> Result<Vec<Chosen<T>>> {
        let k = self.indices.dims()[1];
        let (indices, weights) = (values(&self.indices, <[u32]>::to_vec)?, values_as::<T>(&self.weights)?);
        if let Some(index) = indices.iter().find(|index| **index as usize >= images * pixels) {
            bail!("index of a pixel: must be below {}, is {index}", images * pixels);
        }
        let chosen = |(i, (index, weight)): (usize, (u32, T))| {
            let (image, pixel) = (index as usize / pixels, index as usize % pixels);
            Chosen { image, pixel, class: i / k, weight }
        };
        let mut all: Vec<Chosen<T>> = indices.into_iter().zip(weights).enumerate().map(chosen).collect();
        all.sort_by_key(|chosen| chosen.image);
        Ok(all)
    }
}

impl Kernel<1> for PixelSums {
    const NAME: &'static str = "pixel_sums";

    fn forward<T: Real>(&self, [features]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let (images, dim, pixels) = (features.dims[0], features.dims[1], features.dims[2] * features.dims[3]);
        let (classes, chosen) = (self.indices.dims()[0], self.chosen::<T>(images, pixels)?);
        let channels: Vec<usize> = (0..dim).collect();
        let parts: Vec<Vec<[T; CHANNELS]>> = channels
            .par_chunks(CHANNELS)
            .map(|channels| {
                let mut sums = vec![[T::zero(); CHANNELS]; classes];
                for chosen in chosen.chunk_by(|a, b| a.image == b.image && a.class == b.class) {
                    let planes: [&[T]; CHANNELS] = std::array::from_fn(|i| {
                        // Beyond the last channel the last one once more.
                        let channel = channels[i.min(channels.len() - 1)];
                        &features.values[(chosen[0].image * dim + channel) * pixels..][..pixels]
                    });
                    // One sum after the other would wait for each addition.
                    let mut sum = sums[chosen[0].class];
                    for chosen in chosen {
                        for (sum, plane) in sum.iter_mut().zip(planes) {
                            *sum += chosen.weight * plane[chosen.pixel];
                        }
                    }
                    sums[chosen[0].class] = sum;
                }
                sums
            })
            .collect();
        let mut result = vec![T::zero(); classes * dim];
        for (channels, sums) in channels.chunks(CHANNELS).zip(parts) {
            for (class, sums) in sums.iter().enumerate() {
                result[class * dim + channels[0]..][..channels.len()].copy_from_slice(&sums[..channels.len()]);
            }
        }
        Ok((result, (classes, dim).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [features]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::sums(self, gpu, features)
    }

    fn backward(&self, [features]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached1(Gradient { of: self.clone(), shape: features.shape().clone() }, grad)?)])
    }
}

/// Every plane is 0 but for the chosen pixels of its image.
pub(super) struct Gradient {
    pub(super) of: PixelSums,
    pub(super) shape: Shape,
}

impl Kernel<1> for Gradient {
    const NAME: &'static str = "pixel_sums gradient";

    fn forward<T: Real>(&self, [grad]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let dims = self.shape.dims();
        let (images, dim, pixels) = (dims[0], dims[1], dims[2] * dims[3]);
        let chosen = self.of.chosen::<T>(images, pixels)?;
        let starts: Vec<usize> =
            (0..=images).map(|image| chosen.partition_point(|chosen| chosen.image < image)).collect();
        let result = filled(self.shape.elem_count(), pixels, |plane, result| {
            result.fill(T::zero());
            let (image, channel) = (plane / dim, plane % dim);
            for chosen in &chosen[starts[image]..starts[image + 1]] {
                result[chosen.pixel] += chosen.weight * grad.values[chosen.class * dim + channel];
            }
        });
        Ok((result, self.shape.clone()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::gradient(self, gpu, grad)
    }
}
