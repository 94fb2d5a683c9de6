//! [`Trainer`]: one optimizer step at a time, on any baseline.

use std::time::{Duration, Instant};

use candle_core::DType;
use candle_wsss::{
    Baseline, LossTerms, Mode, Objective, OmittedTerm, Pair, Sampler, SeededSampler, Step, TermValue, ViewOutput,
};

use crate::data::Batch;
use crate::error::{Error, Result};
use crate::train::ledger::Ledger;
use crate::train::optim::PolySgd;

/// Where the host's time of a step went. On a device that computes on its own this is the time it took to say what is to
/// be computed; waiting for it is part of the step that reads.
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
///
/// A step waits for nothing it has given the device. Its loss terms are read, and looked at for divergence, every so many
/// steps: after each one, unless [`reading_every`](Self::reading_every) says otherwise.
pub struct Trainer {
    seeds: SeededSampler,
    audited: bool,
    ledger: Ledger,
    /// Steps not reported yet, those of the ledger last.
    taken: Vec<StepReport>,
}

impl Trainer {
    /// A trainer drawing from `seed`.
    pub fn new(seed: u64) -> Self {
        let seeds = SeededSampler::new(seed).child("train");
        Self { seeds, audited: false, ledger: Ledger::new(1), taken: Vec::new() }
    }

    /// The same, with loss terms read after so many steps. The numbers do not depend on it.
    #[must_use]
    pub fn reading_every(mut self, steps: usize) -> Self {
        self.ledger = Ledger::new(steps);
        self
    }

    /// One step: forward, objective, backward, update, commit. Returns the reports of this step and of those before it
    /// when their terms were read in it, else none.
    ///
    /// # Errors
    /// [`Error::Diverged`] when a term, or an output of the network that a term stumbles over, is not finite, naming the
    /// step it happened in. When that is this one, nothing is changed; after an earlier one, whose terms were waiting to
    /// be read, the model is worthless.
    pub fn step(
        &mut self,
        model: &mut dyn Baseline,
        optimizer: &mut PolySgd,
        batch: &Batch,
    ) -> Result<Vec<StepReport>> {
        if let Err(err) = self.take(model, optimizer, batch) {
            // What a step stumbles over may be what an earlier one left: that one is to be told of.
            self.read_terms()?;
            self.taken.retain(|report| report.step != batch.progress.step);
            return Err(err);
        }
        Ok(if self.ledger.is_empty() { std::mem::take(&mut self.taken) } else { Vec::new() })
    }

    /// Reads the terms that are waiting: the reports of the steps since the last that were returned. To be called before
    /// anything is made of the model, a checkpoint for one.
    ///
    /// # Errors
    /// [`Error::Diverged`], as [`Self::step`].
    pub fn read(&mut self) -> Result<Vec<StepReport>> {
        self.read_terms()?;
        Ok(std::mem::take(&mut self.taken))
    }

    fn take(&mut self, model: &mut dyn Baseline, optimizer: &mut PolySgd, batch: &Batch) -> Result<()> {
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
        let Objective { terms, memory } = objective(&*model, &outputs, batch, draws.fork("objective").as_ref())?;
        let learning_rate = optimizer.learning_rate();
        self.enter(step, learning_rate, &terms)?;
        times.objective = clock.elapsed();

        let mut unreached = Vec::new();
        if let Some(loss) = terms.total()? {
            let clock = Instant::now();
            let grads = loss.backward()?;
            times.backward = clock.elapsed();
            let clock = Instant::now();
            if !std::mem::replace(&mut self.audited, true) {
                unreached = optimizer.unreached(&grads);
            }
            optimizer.step(&grads)?;
            model.commit(memory)?;
            times.update = clock.elapsed();
        } else {
            optimizer.skip();
        }
        if let Some(report) = self.taken.last_mut() {
            (report.times, report.unreached) = (times, unreached);
        }
        Ok(())
    }

    // Before the update, so that a step whose terms are read at once is not taken when it diverged.
    fn enter(&mut self, step: usize, learning_rate: f64, terms: &LossTerms) -> Result<()> {
        self.ledger.enter(step, terms)?;
        self.taken.push(StepReport {
            step,
            learning_rate,
            total: None,
            terms: Vec::new(),
            omitted: terms.omitted().to_vec(),
            unreached: Vec::new(),
            times: StepTimes::default(),
        });
        if self.ledger.is_due() { self.read_terms() } else { Ok(()) }
    }

    fn read_terms(&mut self) -> Result<()> {
        let read = self.ledger.read().inspect_err(|_| self.taken.clear())?;
        let first = self.taken.len() - read.len();
        for (report, terms) in self.taken[first..].iter_mut().zip(read) {
            report.total = (!terms.is_empty()).then(|| terms.iter().map(|term| term.weight * term.value).sum());
            report.terms = terms;
        }
        Ok(())
    }
}

fn objective(
    model: &dyn Baseline,
    outputs: &Pair<ViewOutput>,
    batch: &Batch,
    draws: &dyn Sampler,
) -> Result<Objective> {
    let Batch { views, labels, progress, .. } = batch;
    let seen = Step { model, views, outputs, labels, progress: *progress };
    // Maps that are no numbers can break a loss before it has a value: that is divergence as well.
    model.objective(&seen, draws).map_err(|err| match not_finite(progress.step, outputs) {
        Ok(Some(diverged)) => diverged,
        _ => err.into(),
    })
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
