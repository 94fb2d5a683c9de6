//! Random inputs of the parts, and arithmetic for their oracles.

use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::rca::{RcaConfig, RegionContrast, Regions, region_contrast};
use candle_wsss::testing::randn;
use candle_wsss::{ClassLayout, ClassQueue, ImageLabels, Result, Sampler};

/// Foreground classes of all random inputs.
pub(crate) const FOREGROUND: usize = 4;
/// Channels of embeddings and slots.
pub(crate) const DIM: usize = 6;
/// Slots of a class.
pub(crate) const LENGTH: usize = 5;

/// Everything the contrast and the update take.
pub(crate) struct Inputs {
    /// `(N, DIM, 4, 5)`.
    pub(crate) embeddings: Tensor,
    /// `(N, FOREGROUND, 4, 5)`.
    pub(crate) coarse: Tensor,
    pub(crate) labels: ImageLabels,
    pub(crate) queue: ClassQueue,
}

impl Inputs {
    /// One entry of `present` per image.
    pub(crate) fn random(seed: u64, present: &[&[usize]]) -> Self {
        let draw = |stream: u64, dims: &[usize]| randn(seed * 100 + stream, dims).unwrap();
        let n = present.len();
        Self {
            embeddings: draw(0, &[n, DIM, 4, 5]),
            coarse: draw(1, &[n, FOREGROUND, 4, 5]),
            labels: labels(present, FOREGROUND),
            queue: full(&draw(2, &[FOREGROUND, LENGTH, DIM])),
        }
    }

    pub(crate) fn regions(&self) -> Regions {
        Regions::new(&self.coarse, &self.labels).unwrap()
    }

    pub(crate) fn contrast(&self, config: &RcaConfig, sampler: &dyn Sampler) -> Result<Option<RegionContrast>> {
        region_contrast(&self.embeddings, &self.regions(), &self.labels, &self.queue, config, sampler)
    }
}

pub(crate) fn labels(present: &[&[usize]], foreground: usize) -> ImageLabels {
    let present = present.iter().map(|classes| classes.to_vec()).collect();
    ImageLabels::new(present, ClassLayout::new(foreground).unwrap(), DType::F64, &Device::Cpu).unwrap()
}

/// A queue whose slots are all written.
pub(crate) fn full(slots: &Tensor) -> ClassQueue {
    let (classes, length, _) = slots.dims3().unwrap();
    ClassQueue::from_parts(slots, vec![0; classes], vec![length as u32; classes]).unwrap()
}

/// All elements, row-major.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Pixels of one image of a map `(N, D, h, w)`, each of `D` numbers.
pub(crate) fn pixels(map: &Tensor, image: usize) -> Vec<Vec<f64>> {
    map.get(image).unwrap().flatten_from(1).unwrap().t().unwrap().to_vec2().unwrap()
}

/// Whether each pixel of an image is in the region of a class, by the definition.
pub(crate) fn region(coarse: &Tensor, image: usize, class: usize) -> Vec<bool> {
    let beliefs: Vec<f64> = pixels(coarse, image)
        .iter()
        .map(|scores| scores[class].exp() / scores.iter().map(|score| score.exp()).sum::<f64>())
        .collect();
    let mean = beliefs.iter().sum::<f64>() / beliefs.len() as f64;
    beliefs.iter().map(|belief| *belief > mean).collect()
}

/// Sum over some pixels, by a divisor.
pub(crate) fn pooled(pixels: &[Vec<f64>], inside: &[bool], divisor: f64) -> Vec<f64> {
    let mut sum = vec![0.0; pixels[0].len()];
    for (pixel, _) in pixels.iter().zip(inside).filter(|(_, inside)| **inside) {
        for (sum, x) in sum.iter_mut().zip(pixel) {
            *sum += x / divisor;
        }
    }
    sum
}

pub(crate) fn count(inside: &[bool]) -> f64 {
    inside.iter().filter(|inside| **inside).count() as f64
}

pub(crate) fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
}

pub(crate) fn assert_near(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-10 * want.abs().max(1.0), "{what}: got {got}, want {want}");
}

pub(crate) fn assert_all_near(what: &str, got: &[f64], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().zip(want) {
        assert_near(what, *got, *want);
    }
}
