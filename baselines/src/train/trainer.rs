//! [`Trainer`]: one optimizer step at a time, on any baseline.

use std::time::{Duration, Instant};

use candle_core::DType;
use candle_wsss::{Baseline, Mode, OmittedTerm, Pair, Sampler, SeededSampler, Step, TermValue, ViewOutput};

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::train::optim::PolySgd;

/// Where the time of a step went.
#[derive(Clone, Copy, Debug, Default)]
pub struct StepTimes {
    /// Both forward passes.
    pub forward: Duration,
    /// All loss terms, forward.
    pub objective: Duration,
    /// Backward through everything.
    pub backward: Duration,
    /// Optimizer and memory.
    pub update: Duration,
}

/// What a step did.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Steps taken before this one.
    pub step: usize,
    /// Base learning rate used.
    pub learning_rate: f64,
    /// Weighted sum of the terms; `None` when no term had a meaning for this batch.
    pub total: Option<f64>,
    /// The terms, before their weights.
    pub terms: Vec<TermValue>,
    /// Terms left out for this batch.
    pub omitted: Vec<OmittedTerm>,
    /// Trainable parameters that got no gradient; looked for in the first step only.
    pub unreached: Vec<String>,
    /// Where the time went.
    pub times: StepTimes,
}

/// Takes optimizer steps. All draws of step `s` come from the stream `step/s` of the seed, so a resumed run needs no
/// generator state.
pub struct Trainer {
    seeds: SeededSampler,
    audited: bool,
}

impl Trainer {
    /// A trainer drawing from `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seeds: SeededSampler::new(seed).child("train"), audited: false }
    }

    /// One step: forward, objective, backward, update, commit.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a term, or an output of the network that a term stumbles over, is not finite; nothing is
    /// changed then.
    pub fn step(&mut self, model: &mut dyn Baseline, optimizer: &mut PolySgd, batch: &Batch) -> Result<StepReport> {
        let step = batch.progress.step;
        let draws = self.seeds.child(&format!("step/{step}"));
        let mut times = StepTimes::default();

        let clock = Instant::now();
        let mut dropout = Pair::new("source", "target").map(|view| draws.fork(&format!("forward/{view}")));
        let outputs = Pair::new(
            model.forward(&batch.views.source, Mode::Train(dropout.source.as_mut()))?,
            model.forward(&batch.views.target, Mode::Train(dropout.target.as_mut()))?,
        );
        times.forward = clock.elapsed();

        let clock = Instant::now();
        let objective = {
            let seen = Step {
                model: &*model,
                views: &batch.views,
                outputs: &outputs,
                labels: &batch.labels,
                progress: batch.progress,
            };
            // Maps that are no numbers can break a loss before it has a value: that is divergence as well.
            model.objective(&seen, draws.fork("objective").as_ref()).map_err(|err| {
                match not_finite(step, &outputs) {
                    Ok(Some(diverged)) => diverged,
                    _ => err.into(),
                }
            })?
        };
        let terms = objective.terms.scalars()?;
        check_finite(step, &terms)?;
        times.objective = clock.elapsed();

        let learning_rate = optimizer.learning_rate();
        let mut unreached = Vec::new();
        if let Some(loss) = objective.terms.total()? {
            let clock = Instant::now();
            let grads = loss.backward()?;
            times.backward = clock.elapsed();
            let clock = Instant::now();
            if !std::mem::replace(&mut self.audited, true) {
                unreached = optimizer.unreached(&grads);
            }
            optimizer.step(&grads)?;
            model.commit(objective.memory)?;
            times.update = clock.elapsed();
        } else {
            optimizer.skip();
        }
        let total = (!terms.is_empty()).then(|| terms.iter().map(|term| term.weight * term.value).sum());
        Ok(StepReport {
            step,
            learning_rate,
            total,
            terms,
            omitted: objective.terms.omitted().to_vec(),
            unreached,
            times,
        })
    }
}

fn not_finite(step: usize, outputs: &Pair<ViewOutput>) -> Result<Option<Error>> {
    for (view, output) in [("source", &outputs.source), ("target", &outputs.target)] {
        let refined = output.refined_cam.as_ref().map(|map| ("refined_cam", map));
        for (name, map) in [("logits", &output.logits), ("cam", &output.cam)].into_iter().chain(refined) {
            let values = map.detach().flatten_all()?.to_dtype(DType::F64)?.to_vec1::<f64>()?;
            if let Some(value) = values.into_iter().find(|value| !value.is_finite()) {
                let what = format!("the network's output `{name}` of the {view} view");
                return Ok(Some(Error::Diverged { step, what, value }));
            }
        }
    }
    Ok(None)
}

fn check_finite(step: usize, terms: &[TermValue]) -> Result<()> {
    match terms.iter().find(|term| !term.value.is_finite()) {
        None => Ok(()),
        Some(term) => Err(Error::Diverged { step, what: format!("loss term `{}`", term.name), value: term.value }),
    }
}
