//! CPU code of the min-pooling loss: an image at a time, present classes only.
//!
//! Deterministic: an image belongs to one thread, and sums over images run in their order.

use candle_core::{Result, Shape, bail};
use rayon::prelude::*;

use super::{MinPool, device};
use crate::ops::Corners;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::enlarged::{Stretched, total};
use crate::ops::kernel::{Array, Kernel, Real};
use crate::ops::resize::{Taps, taps};
use crate::ops::select::{Cut, cut};
use crate::ops::top_k::Order;

impl Kernel<1> for MinPool {
    const NAME: &'static str = "min_pool";

    fn forward<T: Real>(&self, [map]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[images, classes, h, w] = map.dims else { bail!("{}: expected 4 axes", Self::NAME) };
        let image_len = classes * h * w;
        let (rows, columns) =
            (taps::<T>(h, self.size.0, Corners::Aligned), taps::<T>(w, self.size.1, Corners::Aligned));
        let gradient_len = if self.with_gradient { map.values.len() } else { 0 };
        let mut result = vec![T::zero(); Self::TERMS + gradient_len];
        let scale = 1.0 / (self.smallest * images) as f64;
        let image = |image: usize, gradient: Option<&mut [T]>| {
            let map = &map.values[image * image_len..][..image_len];
            let stretched = self.present[image].iter().map(|class| {
                let plane = &map[class * h * w..][..h * w];
                Stretched::new(plane, w, &columns)
            });
            let planes = Planes { stretched: stretched.collect(), rows: &rows, columns: &columns, source: (h, w) };
            let strongest = planes.strongest();
            // Maps that have learnt their lesson: all that counts is zero, in value and gradient.
            if strongest.iter().filter(|value| **value <= T::zero()).count() >= self.smallest {
                return 0.0;
            }
            let cut = cut(&strongest, self.smallest, Order::Smallest);
            if let Some(gradient) = gradient {
                let into = self.present[image].iter().map(|class| class * h * w);
                planes.add_gradient(&strongest, &cut, T::from_f64(scale), gradient, into);
            }
            planes.sum(&strongest, &cut)
        };
        let (value, gradient) = result.split_at_mut(Self::TERMS);
        let sums: Vec<f64> = if self.with_gradient {
            let gradients = gradient.par_chunks_exact_mut(image_len).enumerate();
            gradients.map(|(i, gradient)| image(i, Some(gradient))).collect()
        } else {
            (0..images).into_par_iter().map(|i| image(i, None)).collect()
        };
        value[0] = T::from_f64(sums.iter().sum::<f64>() * scale);
        let len = result.len();
        Ok((result, len.into()))
    }

    fn device(&self, gpu: &dyn Gpu, [map]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::packed(self, gpu, map)
    }
}

/// The present classes of an image.
struct Planes<'a, T> {
    stretched: Vec<Stretched<T>>,
    rows: &'a [Taps<T>],
    columns: &'a [Taps<T>],
    source: (usize, usize),
}

impl<T: Real> Planes<'_, T> {
    /// The largest value of each pixel of the enlarged planes, 0 where that is below it: what is not above 0 has neither
    /// value nor gradient in the loss, and comes first in its order anyway.
    fn strongest(&self) -> Vec<T> {
        let width = self.columns.len();
        let mut strongest = vec![T::zero(); self.rows.len() * width];
        for (row, strongest) in self.rows.iter().zip(strongest.chunks_exact_mut(width)) {
            for plane in &self.stretched {
                let [upper, lower] = plane.around(row);
                for ((strongest, &upper), &lower) in strongest.iter_mut().zip(upper).zip(lower) {
                    let value = row.between(upper, lower);
                    // Written so that NaN is the largest.
                    *strongest = if value <= *strongest { *strongest } else { value };
                }
            }
        }
        strongest
    }

    /// Sum of what is chosen.
    fn sum(&self, strongest: &[T], cut: &Cut<T>) -> f64 {
        let width = self.columns.len();
        let rows = strongest.chunks_exact(width).enumerate();
        rows.map(|(i, row)| {
            let (with_ties, without) = row.split_at(ties_in_row(cut, i, width));
            let sum = total(with_ties, |value| if value <= cut.value { value } else { T::zero() });
            let rest = total(without, |value| if value < cut.value { value } else { T::zero() });
            sum.to_f64() + rest.to_f64()
        })
        .sum()
    }

    /// Adds `scale` at every chosen pixel above 0, to the first of the planes that has the value there; the planes begin
    /// in `gradient` at `starts`.
    fn add_gradient(
        &self,
        strongest: &[T],
        cut: &Cut<T>,
        scale: T,
        gradient: &mut [T],
        starts: impl Iterator<Item = usize>,
    ) {
        let (zero, width) = (T::zero(), self.columns.len());
        let mut sums: Vec<_> = self.stretched.iter().map(|_| Stretched::zeros(self.source.0, width)).collect();
        let (mut open, mut part) = (vec![zero; width], vec![zero; width]);
        for (i, (row, strongest)) in self.rows.iter().zip(strongest.chunks_exact(width)).enumerate() {
            let ties = ties_in_row(cut, i, width);
            for (open, &value) in open[..ties].iter_mut().zip(strongest) {
                *open = if value <= cut.value && value > zero { scale } else { zero };
            }
            for (open, &value) in open[ties..].iter_mut().zip(&strongest[ties..]) {
                *open = if value < cut.value && value > zero { scale } else { zero };
            }
            for (plane, sums) in self.stretched.iter().zip(&mut sums) {
                let [upper, lower] = plane.around(row);
                let pixels = upper.iter().zip(lower).zip(strongest);
                for ((part, open), ((&upper, &lower), &strongest)) in part.iter_mut().zip(&mut open).zip(pixels) {
                    let is_it = row.between(upper, lower) == strongest;
                    *part = if is_it { *open } else { zero };
                    *open = if is_it { zero } else { *open };
                }
                sums.add_row(row, &part);
            }
        }
        for (start, sums) in starts.zip(&sums) {
            let plane = &mut gradient[start..][..self.source.0 * self.source.1];
            sums.add_to(plane, self.source.1, self.columns.iter().copied(), T::one());
        }
    }
}

/// Pixels of a row that are chosen when they equal the value of the cut: those ahead of an index of the plane.
fn ties_in_row<T>(cut: &Cut<T>, row: usize, width: usize) -> usize {
    cut.ties.saturating_sub(row * width).min(width)
}
