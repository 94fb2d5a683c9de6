//! Losses that plug into any baseline.

mod config;
mod ranges;
mod regularized;
mod site;

pub mod hsc;
pub mod ppc;
pub mod pss;
pub mod rca;

pub use config::RegularizerConfig;
pub use regularized::Regularized;
pub use site::{Site, Twin};

use crate::baseline::{Baseline, ParameterGroup, Step, ViewOutput};
use crate::error::Result;
use crate::memory::MemoryState;
use crate::objective::Objective;
use crate::sampler::Sampler;
use crate::view::View;

/// A plug-in loss: reads a step, asks for loss terms, and remembers what it needs to.
pub trait Regularizer: Send + Sync {
    /// Scopes the terms (`hsc/pixel`), the memory and the parameters (`hsc.…`) of this instance.
    fn name(&self) -> &str;

    /// The losses of this step. Changes nothing: the same step and sampler give the same objective.
    ///
    /// # Errors
    /// When the step does not fit the baseline this was built for.
    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective>;

    /// What the network's output becomes when the wrapped network is run for evaluation: by default it stays as it is.
    ///
    /// For methods whose seeds come out of layers of their own. Training never sees this.
    ///
    /// # Errors
    /// When the output does not fit the baseline this was built for.
    fn infer(&self, _view: &View, output: ViewOutput) -> Result<ViewOutput> {
        Ok(output)
    }

    /// The group of one of its own parameters, by the name below its scope.
    fn parameter_group(&self, _name: &str) -> ParameterGroup {
        ParameterGroup::FromScratch
    }

    /// Takes over the memory an objective proposed, after the optimizer's step.
    ///
    /// # Errors
    /// When the memory does not fit; nothing is changed then.
    fn commit(&mut self, next: MemoryState) -> Result<()> {
        next.expect_empty()
    }

    /// Everything a resumed run needs beside the parameters.
    ///
    /// # Errors
    /// Those of candle.
    fn memory(&self) -> Result<MemoryState> {
        Ok(MemoryState::default())
    }

    /// Takes up saved memory.
    ///
    /// # Errors
    /// When a tensor is missing, surplus or misshapen; nothing is changed then.
    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        self.commit(saved)
    }

    /// Wraps a baseline, which stays a baseline. Further regularizers stack with [`Regularized::with`].
    fn wrap<B: Baseline>(self, baseline: B) -> Regularized<B>
    where
        Self: Sized + 'static,
    {
        Regularized::single(baseline, Box::new(self))
    }
}
