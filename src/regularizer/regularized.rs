//! [`Regularized`]: a baseline with regularizers on it, itself a baseline.

use crate::baseline::{Baseline, BaselineSpec, Mode, ParameterGroup, Step, ViewOutput};
use crate::error::{Error, Result};
use crate::memory::MemoryState;
use crate::objective::Objective;
use crate::regularizer::Regularizer;
use crate::sampler::Sampler;
use crate::view::View;

/// A baseline and the regularizers stacked on it.
///
/// # Order
/// Terms come in the order of stacking, the baseline's first. Nothing else depends on the order: each regularizer draws
/// from a stream of its own name, reads the same step, and has memory of its own, so adding one never changes another's
/// numbers. Evaluation alone hands the output through [`Regularizer::infer`] of each in turn.
pub struct Regularized<B> {
    baseline: B,
    regularizers: Vec<Box<dyn Regularizer>>,
}

impl<B: std::fmt::Debug> std::fmt::Debug for Regularized<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.regularizers.iter().map(|r| r.name()).collect();
        f.debug_struct("Regularized").field("baseline", &self.baseline).field("regularizers", &names).finish()
    }
}

impl<B: Baseline> Regularized<B> {
    /// A baseline with no regularizer yet.
    pub fn new(baseline: B) -> Self {
        Self { baseline, regularizers: Vec::new() }
    }

    pub(super) fn single(baseline: B, regularizer: Box<dyn Regularizer>) -> Self {
        Self { baseline, regularizers: vec![regularizer] }
    }

    /// Stacks another regularizer.
    ///
    /// # Errors
    /// When one of that name is there already.
    pub fn with(self, regularizer: impl Regularizer + 'static) -> Result<Self> {
        self.with_boxed(Box::new(regularizer))
    }

    /// As [`Self::with`], for one that is boxed already.
    ///
    /// # Errors
    /// When one of that name is there already.
    pub fn with_boxed(mut self, regularizer: Box<dyn Regularizer>) -> Result<Self> {
        if self.regularizers.iter().any(|r| r.name() == regularizer.name()) {
            return Err(Error::DuplicateName(regularizer.name().to_string()));
        }
        self.regularizers.push(regularizer);
        Ok(self)
    }

    /// The baseline inside.
    pub fn get_ref(&self) -> &B {
        &self.baseline
    }

    /// The baseline alone: what is used once training is over.
    pub fn into_inner(self) -> B {
        self.baseline
    }

    // Hands each part its share of a state. When one refuses, those before it go back to where they were.
    fn distribute(&mut self, mut state: MemoryState, take: Take) -> Result<()> {
        let before = self.memory()?;
        let shares: Vec<MemoryState> = self.regularizers.iter().map(|r| state.split_off(r.name())).collect();
        let mut outcome = Ok(());
        for (regularizer, share) in self.regularizers.iter_mut().zip(shares) {
            let name = regularizer.name().to_string();
            outcome = match take {
                Take::Commit => regularizer.commit(share),
                Take::Restore => regularizer.restore(share),
            }
            .map_err(|err| scoped(&name, err));
            if outcome.is_err() {
                break;
            }
        }
        let outcome = outcome.and_then(|()| match take {
            Take::Commit => self.baseline.commit(state),
            Take::Restore => self.baseline.restore(state),
        });
        if outcome.is_err() {
            let mut before = before;
            for regularizer in &mut self.regularizers {
                let share = before.split_off(regularizer.name());
                regularizer.restore(share)?;
            }
        }
        outcome
    }
}

#[derive(Clone, Copy)]
enum Take {
    Commit,
    Restore,
}

fn scoped(name: &str, err: Error) -> Error {
    match err {
        Error::State { key, reason } => Error::State { key: format!("{name}.{key}"), reason },
        err => err,
    }
}

impl<B: Baseline> Baseline for Regularized<B> {
    fn spec(&self) -> &BaselineSpec {
        self.baseline.spec()
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        match mode {
            Mode::Eval => {
                let output = self.baseline.forward(view, Mode::Eval)?;
                self.regularizers.iter().try_fold(output, |output, regularizer| regularizer.infer(view, output))
            }
            mode => self.baseline.forward(view, mode),
        }
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        let mut objective = self.baseline.objective(step, sampler)?;
        for regularizer in &self.regularizers {
            let own = sampler.fork(regularizer.name());
            objective.absorb(regularizer.name(), regularizer.objective(step, own.as_ref())?)?;
        }
        Ok(objective)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        for regularizer in &self.regularizers {
            let own = name.strip_prefix(regularizer.name()).and_then(|rest| rest.strip_prefix('.'));
            if let Some(own) = own {
                return regularizer.parameter_group(own);
            }
        }
        self.baseline.parameter_group(name)
    }

    fn commit(&mut self, next: MemoryState) -> Result<()> {
        self.distribute(next, Take::Commit)
    }

    fn memory(&self) -> Result<MemoryState> {
        let mut memory = self.baseline.memory()?;
        for regularizer in &self.regularizers {
            memory.absorb(regularizer.name(), regularizer.memory()?)?;
        }
        Ok(memory)
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        self.distribute(saved, Take::Restore)
    }
}
