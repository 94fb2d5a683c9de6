//! CPU code: each plane of the map is read once and summed over all regions of its image.
//!
//! Deterministic: sums run in lanes of a fixed number, work is split over planes.

use candle_core::{Result, Shape, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::device;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::filled::filled;
use crate::ops::kernel::{Array, Kernel, Real, detached1, values};
use crate::ops::vector::dot;

/// Channels a thread takes at once.
const CHANNELS: usize = 32;

#[derive(Clone)]
pub(super) struct RegionMean {
    /// `(R, h, w)`, u8.
    pub(super) masks: Tensor,
    /// `(R)`, float64.
    pub(super) divisors: Tensor,
    /// The first region of each image, and the number of all.
    pub(super) starts: Vec<usize>,
    /// The same where the map is, u32.
    pub(super) starts_there: Tensor,
}

impl RegionMean {
    fn masks<T: Real>(&self) -> Result<Vec<T>> {
        values(&self.masks, |masks: &[u8]| masks.iter().map(|inside| T::from_f64(f64::from(*inside))).collect())
    }

    fn scales<T: Real>(&self) -> Result<Vec<T>> {
        let scale = |divisor: f64| T::from_f64(if divisor == 0.0 { 0.0 } else { 1.0 / divisor });
        values(&self.divisors, |divisors: &[f64]| divisors.iter().map(|divisor| scale(*divisor)).collect())
    }
}

impl Kernel<1> for RegionMean {
    const NAME: &'static str = "region_mean";

    fn forward<T: Real>(&self, [map]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let (images, dim, pixels) = (map.dims[0], map.dims[1], map.dims[2] * map.dims[3]);
        let (masks, scales, regions) = (self.masks::<T>()?, self.scales::<T>()?, self.starts[images]);
        let parts: Vec<(usize, usize)> = (0..images)
            .filter(|&image| self.starts[image] < self.starts[image + 1])
            .flat_map(|image| (0..dim).step_by(CHANNELS).map(move |channel| (image, channel)))
            .collect();
        let sums: Vec<Vec<T>> = parts
            .par_iter()
            .map(|&(image, channel)| {
                let of_image = self.starts[image]..self.starts[image + 1];
                let mut sums = Vec::with_capacity(CHANNELS * of_image.len());
                for channel in channel..dim.min(channel + CHANNELS) {
                    let plane = &map.values[(image * dim + channel) * pixels..][..pixels];
                    sums.extend(of_image.clone().map(|region| dot(plane, &masks[region * pixels..][..pixels])));
                }
                sums
            })
            .collect();
        let mut means = vec![T::zero(); regions * dim];
        for ((image, channel), sums) in parts.into_iter().zip(sums) {
            let (first, len) = (self.starts[image], self.starts[image + 1] - self.starts[image]);
            for (at, sum) in sums.into_iter().enumerate() {
                let region = first + at % len;
                means[region * dim + channel + at / len] = sum * scales[region];
            }
        }
        Ok((means, (regions, dim).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [map]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::forward(self, gpu, map)
    }

    fn backward(&self, [map]: [&Tensor; 1], _: &Tensor, grad: &Tensor) -> Result<[Option<Tensor>; 1]> {
        Ok([Some(detached1(Gradient { of: self.clone(), shape: map.shape().clone() }, grad)?)])
    }
}

/// Every plane is the sum of the masks of its image, weighted.
pub(super) struct Gradient {
    pub(super) of: RegionMean,
    pub(super) shape: Shape,
}

impl Kernel<1> for Gradient {
    const NAME: &'static str = "region_mean gradient";

    fn forward<T: Real>(&self, [grad]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let (dim, pixels) = (self.shape.dims()[1], self.shape.dims()[2] * self.shape.dims()[3]);
        let (masks, scales) = (self.of.masks::<T>()?, self.of.scales::<T>()?);
        let result = filled(self.shape.elem_count(), pixels, |plane, result| {
            let (image, channel) = (plane / dim, plane % dim);
            let regions = self.of.starts[image]..self.of.starts[image + 1];
            let weight = |region: usize| grad.values[region * dim + channel] * scales[region];
            let weights: Vec<T> = regions.clone().map(weight).collect();
            let masks = &masks[regions.start * pixels..regions.end * pixels];
            Arch::new().dispatch(Weighted { masks, weights: &weights, result });
        });
        Ok((result, self.shape.clone()))
    }

    fn device(&self, gpu: &dyn Gpu, [grad]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::gradient(self, gpu, grad)
    }
}

/// `Σ_r weight_r mask_r`
struct Weighted<'a, T> {
    masks: &'a [T],
    weights: &'a [T],
    result: &'a mut [T],
}

impl<T: Real> WithSimd for Weighted<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { masks, weights, result } = self;
        let Some((&first, others)) = weights.split_first() else { return result.fill(T::zero()) };
        let (mask, masks) = masks.split_at(result.len());
        for (result, &inside) in result.iter_mut().zip(mask) {
            *result = first * inside;
        }
        for (&weight, mask) in others.iter().zip(masks.chunks_exact(result.len())) {
            for (result, &inside) in result.iter_mut().zip(mask) {
                *result += weight * inside;
            }
        }
    }
}
