//! CPU code of seeds: a plane, or an image, at a time.

use candle_core::{Result, Shape, bail};
use rayon::prelude::*;

use super::{BestClass, SeedScores, device};
use crate::ops::Corners;
use crate::ops::device::{Buffer, DeviceArray, Gpu};
use crate::ops::enlarged::extrema;
use crate::ops::filled::filled_with;
use crate::ops::kernel::{Array, GRAIN, IndexKernel, Kernel, Real};
use crate::ops::normalize::{kept_above_least, rectified};
use crate::ops::resize::Resizing;

impl Kernel<1> for SeedScores {
    const NAME: &'static str = "seed_scores";

    fn forward<T: Real>(&self, [cam]: [Array<'_, T>; 1]) -> Result<(Vec<T>, Shape)> {
        let &[n, classes, h, w] = cam.dims else { bail!("{}: expected 4 axes", Self::NAME) };
        let (height, width) = self.size;
        let resizing = Resizing::new((h, w), self.size, Corners::Aligned);
        let (background, epsilon) = (T::from_f64(self.background), T::from_f64(self.epsilon));
        let area = height * width;
        let result = filled_with(n * classes * area, area, Vec::new, |room, i, scores| {
            if i % classes + 1 == classes {
                return scores.fill(background);
            }
            resizing.plane(&cam.values[i * h * w..][..h * w], room, scores);
            let (most, least) = extrema(scores);
            let (most, least) = (rectified(most), rectified(least));
            let span = (most - least) + epsilon;
            for score in scores {
                *score = kept_above_least(*score, least, epsilon) / span;
            }
        });
        Ok((result, (n, classes, height, width).into()))
    }

    fn device(&self, gpu: &dyn Gpu, [cam]: [DeviceArray<'_>; 1]) -> Result<(Buffer, Shape)> {
        device::scores(self, gpu, cam)
    }
}

impl IndexKernel for BestClass {
    const NAME: &'static str = "best_class";

    fn indices<T: Real>(&self, scores: Array<'_, T>) -> Result<(Vec<u32>, Shape)> {
        let &[n, classes, h, w] = scores.dims else { bail!("{}: expected 4 axes", Self::NAME) };
        let mut result = vec![0; n * h * w];
        if result.is_empty() {
            return Ok((result, (n, h, w).into()));
        }
        result
            .par_chunks_exact_mut(h * w)
            .with_min_len(GRAIN.div_ceil(h * w))
            .enumerate()
            .for_each(|(image, best)| self.image(image, &scores.values[image * classes * h * w..], classes, best));
        Ok((result, (n, h, w).into()))
    }

    fn device(&self, gpu: &dyn Gpu, scores: DeviceArray<'_>) -> Result<(Buffer, Shape)> {
        device::best(self, gpu, scores)
    }
}

impl BestClass {
    /// The classes of an image's pixels; `scores` begins with the image's.
    fn image<T: Real>(&self, image: usize, scores: &[T], classes: usize, best: &mut [u32]) {
        let present = &self.present[image];
        let has = |class: usize| class + 1 == classes || present.binary_search(&class).is_ok();
        // Of the absent classes, all 0, the first is enough.
        let absent = (0..classes).find(|class| !has(*class));
        let zeros = vec![T::zero(); best.len()];
        let mut most: Option<Vec<T>> = None;
        for class in (0..classes).filter(|class| has(*class) || absent == Some(*class)) {
            let plane = if has(class) { &scores[class * best.len()..][..best.len()] } else { &zeros };
            let Some(most) = &mut most else {
                most = Some(plane.to_vec());
                best.fill(class as u32);
                continue;
            };
            for ((most, best), &value) in most.iter_mut().zip(best.iter_mut()).zip(plane) {
                let wins = value > *most;
                *most = if wins { value } else { *most };
                *best = if wins { class as u32 } else { *best };
            }
        }
    }
}
