//! CPU code of the equivariance terms: an image at a time, present classes only.
//!
//! Deterministic: an image belongs to one thread, and sums over images run in their order.

use candle_core::{Result, Shape};
use rayon::prelude::*;

use super::aligned::{Aligned, Frame};
use super::targets::one_hot;
use super::{Equivariance, device};
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::enlarged::total;
use crate::ops::kernel::{Array, Kernel, Real, values};
use crate::ops::select::cut;
use crate::ops::top_k::Order;
use crate::view::Pair;

impl Kernel<2> for Equivariance {
    const NAME: &'static str = "equivariance";

    fn forward<T: Real>(&self, [source, target]: [Array<'_, T>; 2]) -> Result<(Vec<T>, Shape)> {
        let Pair { source: refined_source, target: refined_target } = &self.refined;
        let result = values(refined_source, |refined_source: &[T]| {
            values(refined_target, |refined_target: &[T]| {
                let cams = Pair::new(source, target);
                let maps = Maps {
                    classes: source.dims[1],
                    frames: cams.zip(self.sizes).map(|(cam, size)| {
                        Frame::new((cam.dims[2], cam.dims[3]), size, self.sizes.target, self.epsilon)
                    }),
                    cam: cams.map(|cam| cam.values),
                    refined: Pair::new(refined_source, refined_target),
                };
                self.packed(&maps)
            })
        })??;
        let len = result.len();
        Ok((result, len.into()))
    }

    fn device(&self, gpu: &dyn Gpu, [source, target]: [DeviceArray<'_>; 2]) -> Result<(Buffer, Shape)> {
        device::packed(self, gpu, Pair::new(source, target))
    }
}

/// What the terms are made of.
struct Maps<'a, T> {
    classes: usize,
    frames: Pair<Frame<T>>,
    cam: Pair<&'a [T]>,
    refined: Pair<&'a [T]>,
}

/// What one image adds.
struct ImageTerms<T> {
    sums: [f64; Equivariance::TERMS],
    /// Gradients of planes and where they begin in the result.
    gradients: Vec<(usize, Vec<T>)>,
}

impl Equivariance {
    fn packed<T: Real>(&self, maps: &Maps<'_, T>) -> Vec<T> {
        let images: Vec<ImageTerms<T>> =
            (0..self.present.len()).into_par_iter().map(|image| self.image(maps, image)).collect();
        let gradients = 2 * (maps.cam.source.len() + maps.cam.target.len());
        let mut result = vec![T::zero(); Self::TERMS + if self.with_gradients { gradients } else { 0 }];
        for (term, result) in result.iter_mut().take(Self::TERMS).enumerate() {
            *result = T::from_f64(images.iter().map(|image| image.sums[term]).sum());
        }
        for (start, gradient) in images.into_iter().flat_map(|image| image.gradients) {
            result[start..start + gradient.len()].copy_from_slice(&gradient);
        }
        result
    }

    fn image<T: Real>(&self, maps: &Maps<'_, T>, image: usize) -> ImageTerms<T> {
        let present = &self.present[image];
        let with_background: Vec<usize> = present.iter().copied().chain([maps.classes - 1]).collect();
        let cam = Planes::both(maps, &maps.cam, image, present);
        let refined = Planes::both(maps, &maps.refined, image, &with_background);
        let values = cam.as_ref().map(Planes::values);

        let mut er: Vec<T> = values.source.iter().zip(&values.target).map(|(&a, &b)| a - b).collect();
        let er_scale = 1.0 / (self.present.len() * (maps.classes - 1) * self.pixels()) as f64;
        let er_sum = total(&er, absolute).to_f64() * er_scale;
        let cross = values.swapped().zip(refined.as_ref()).map(|(cam, refined)| {
            let target = one_hot(&cam, present, maps.classes, self.pixels(), self.channels);
            self.cross(&target, refined.values())
        });

        let mut gradients = Vec::new();
        if self.with_gradients {
            let starts = self.starts(maps);
            let scale = T::from_f64(er_scale);
            er.iter_mut().for_each(|difference| *difference = sign(*difference) * scale);
            cam.source.gradients(&er, starts[0], &mut gradients);
            er.iter_mut().for_each(|difference| *difference = -*difference);
            cam.target.gradients(&er, starts[1], &mut gradients);
            refined.source.gradients(&cross.source.1, starts[2], &mut gradients);
            refined.target.gradients(&cross.target.1, starts[3], &mut gradients);
        }
        ImageTerms { sums: [er_sum, cross.source.0 + cross.target.0], gradients }
    }

    /// Where the gradients of both raw and both refined maps begin in the result.
    fn starts<T>(&self, maps: &Maps<'_, T>) -> [usize; 4] {
        let [source, target] = [maps.cam.source.len(), maps.cam.target.len()];
        let first = Self::TERMS;
        [first, first + source, first + source + target, first + 2 * source + target]
    }

    fn pixels(&self) -> usize {
        self.sizes.target.0 * self.sizes.target.1
    }

    /// The mean of the largest differences, and its gradient by the refined maps.
    fn cross<T: Real>(&self, target: &[T], mut refined: Vec<T>) -> (f64, Vec<T>) {
        if self.largest == 0 {
            refined.fill(T::zero());
            return (0.0, refined);
        }
        for (refined, &target) in refined.iter_mut().zip(target) {
            *refined = target - *refined;
        }
        let difference = refined;
        let magnitude: Vec<T> = difference.iter().map(|&difference| absolute(difference)).collect();
        let cut = cut(&magnitude, self.largest, Order::Largest);
        let scale = 1.0 / (self.largest * self.present.len()) as f64;
        let (mut sum, mut gradient) = (0.0, difference);
        for (i, (gradient, magnitude)) in gradient.chunks_mut(CHUNK).zip(magnitude.chunks(CHUNK)).enumerate() {
            // Ties count up to some index only.
            let ties = cut.ties.saturating_sub(i * CHUNK).min(magnitude.len());
            sum += keep(&mut gradient[..ties], &magnitude[..ties], |m| m >= cut.value, scale);
            sum += keep(&mut gradient[ties..], &magnitude[ties..], |m| m > cut.value, scale);
        }
        (sum * scale, gradient)
    }
}

/// Values whose sums are kept in one number of the type before they are added up in float64.
const CHUNK: usize = 1 << 10;

/// The sum of the chosen magnitudes; differences become gradients by what was subtracted.
fn keep<T: Real>(difference: &mut [T], magnitude: &[T], is_chosen: impl Fn(T) -> bool, scale: f64) -> f64 {
    let scale = T::from_f64(scale);
    for (difference, &magnitude) in difference.iter_mut().zip(magnitude) {
        *difference = if is_chosen(magnitude) { -sign(*difference) * scale } else { T::zero() };
    }
    total(magnitude, |magnitude| if is_chosen(magnitude) { magnitude } else { T::zero() }).to_f64()
}

/// Some planes of one image.
struct Planes<'a, T> {
    classes: Vec<(usize, Aligned<'a, T>)>,
    frame: &'a Frame<T>,
}

impl<'a, T: Real> Planes<'a, T> {
    fn both(maps: &'a Maps<'_, T>, all: &Pair<&[T]>, image: usize, classes: &[usize]) -> Pair<Self> {
        all.zip(maps.frames.as_ref()).map(|(all, frame)| {
            let pixels = frame.pixels();
            let plane = |class: &usize| {
                let start = (image * maps.classes + class) * pixels;
                (start, Aligned::new(frame, &all[start..start + pixels]))
            };
            Self { classes: classes.iter().map(plane).collect(), frame }
        })
    }

    /// At the size of comparison, one after another.
    fn values(&self) -> Vec<T> {
        let pixels = self.frame.compared_pixels();
        let mut values = vec![T::zero(); self.classes.len() * pixels];
        for (values, (_, plane)) in values.chunks_exact_mut(pixels).zip(&self.classes) {
            plane.values(values);
        }
        values
    }

    /// Gradients by the planes, given those by [`Self::values`]; the first of all planes has its gradient at `first`.
    fn gradients(&self, grad: &[T], first: usize, result: &mut Vec<(usize, Vec<T>)>) {
        for ((start, plane), grad) in self.classes.iter().zip(grad.chunks_exact(self.frame.compared_pixels())) {
            let mut gradient = vec![T::zero(); self.frame.pixels()];
            plane.add_gradient(grad, &mut gradient);
            result.push((first + start, gradient));
        }
    }
}

fn absolute<T: Real>(x: T) -> T {
    if x < T::zero() { -x } else { x }
}

/// 0 at 0, as the gradient of the magnitude is.
fn sign<T: Real>(x: T) -> T {
    let positive = if x > T::zero() { T::one() } else { T::zero() };
    if x < T::zero() { -T::one() } else { positive }
}
