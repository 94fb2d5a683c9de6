//! What a training keeps of its steps: loss curves, times.

use std::time::Duration;

use indicatif::ProgressBar;

use crate::run::job::StepRecord;
use crate::train::{StepReport, StepTimes};

#[derive(Default)]
pub(super) struct TrainingLog {
    pub(super) history: Vec<StepRecord>,
    pub(super) times: Times,
    /// Trainable parameters the first step did not reach; none where that was another process's.
    pub(super) unreached: Vec<String>,
}

impl TrainingLog {
    /// Takes in the steps that have become known, and shows the last of them.
    pub(super) fn enter(&mut self, reports: Vec<StepReport>, bar: &ProgressBar) {
        for report in reports {
            self.times.add(&report.times);
            if self.history.is_empty() {
                self.unreached.clone_from(&report.unreached);
            }
            bar.set_message(report.total.map(|total| format!("loss {total:.3}")).unwrap_or_default());
            self.history.push(record(report));
        }
    }
}

fn record(report: StepReport) -> StepRecord {
    StepRecord {
        weights: report.terms.iter().map(|term| (term.name.clone(), term.weight)).collect(),
        step: report.step,
        learning_rate: report.learning_rate,
        total: report.total,
        terms: report.terms.into_iter().map(|term| (term.name, term.value)).collect(),
        omitted: report.omitted.into_iter().map(|term| (term.name, term.reason)).collect(),
    }
}

#[derive(Default)]
pub(super) struct Times {
    sum: StepTimes,
    count: u32,
}

impl Times {
    fn add(&mut self, times: &StepTimes) {
        self.sum.forward += times.forward;
        self.sum.objective += times.objective;
        self.sum.backward += times.backward;
        self.sum.update += times.update;
        self.count += 1;
    }

    pub(super) fn mean(&self) -> StepTimes {
        let each = |time: Duration| time / self.count.max(1);
        StepTimes {
            forward: each(self.sum.forward),
            objective: each(self.sum.objective),
            backward: each(self.sum.backward),
            update: each(self.sum.update),
        }
    }
}
