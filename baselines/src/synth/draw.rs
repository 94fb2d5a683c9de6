//! Single draws from a named stream, in single precision.

use candle_wsss::{Sampler, SeededSampler};

use crate::error::Result;

/// A stream of draws.
#[derive(Clone, Debug)]
pub(super) struct Draws(SeededSampler);

impl Draws {
    pub(super) fn new(seed: u64) -> Self {
        Self(SeededSampler::new(seed))
    }

    /// The stream called `scope` below this one; what is drawn here does not shift it.
    pub(super) fn child(&self, scope: &str) -> Self {
        Self(self.0.child(scope))
    }

    /// Uniform in `[0, 1)`.
    pub(super) fn unit(&mut self) -> Result<f32> {
        Ok(self.0.uniform(1)?[0] as f32)
    }

    /// Uniform between two values.
    pub(super) fn range(&mut self, low: f32, high: f32) -> Result<f32> {
        Ok(low + (high - low) * self.unit()?)
    }

    /// Uniform in `0..len`.
    pub(super) fn below(&mut self, len: usize) -> Result<usize> {
        Ok(((self.0.uniform(1)?[0] * len as f64) as usize).min(len.saturating_sub(1)))
    }

    pub(super) fn chance(&mut self, probability: f64) -> Result<bool> {
        Ok(self.0.uniform(1)?[0] < probability)
    }

    /// -1 or 1.
    pub(super) fn sign(&mut self) -> Result<f32> {
        Ok(if self.chance(0.5)? { 1.0 } else { -1.0 })
    }

    /// Standard normal, cut at three standard deviations.
    pub(super) fn normal(&mut self) -> Result<f32> {
        Ok((self.0.normal(1)?[0] as f32).clamp(-3.0, 3.0))
    }

    pub(super) fn normals(&mut self, len: usize) -> Result<Vec<f64>> {
        Ok(self.0.normal(len)?)
    }

    pub(super) fn units(&mut self, len: usize) -> Result<Vec<f64>> {
        Ok(self.0.uniform(len)?)
    }

    pub(super) fn permutation(&mut self, len: usize) -> Result<Vec<usize>> {
        Ok(self.0.distinct(len, len)?)
    }
}
