//! The trainer: how often terms are read changes no number, and hides no divergence.

use std::collections::BTreeMap;

use candle_core::{DType, Device};
use candle_wsss::testing::{ToyBaseline, randn};
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, ImageLabels, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress,
    Result, Sampler, Step, View, ViewOutput,
};
use candle_wsss_baselines::Error;
use candle_wsss_baselines::data::Batch;
use candle_wsss_baselines::train::{PolySgd, PolySgdConfig, StepReport, Trainer};

const STEPS: usize = 7;

/// What happens to the objective of a step.
#[derive(Clone, Copy, PartialEq)]
enum Mishap {
    NoNumber,
    Refusal,
    NoTerms,
}

/// A toy whose objective has a mishap in some steps.
struct Clumsy {
    toy: ToyBaseline,
    mishaps: BTreeMap<usize, Mishap>,
}

impl Baseline for Clumsy {
    fn spec(&self) -> &BaselineSpec {
        self.toy.spec()
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        self.toy.forward(view, mode)
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        let mut objective = self.toy.objective(step, sampler)?;
        match self.mishaps.get(&step.progress.step) {
            Some(Mishap::NoNumber) => {
                let value = &objective.terms.get("cls").unwrap().value;
                objective.terms.push("ratio", 0.5, (value * 0.0)?.div(&(value * 0.0)?)?)?;
            }
            Some(Mishap::Refusal) => return Err(candle_wsss::Error::value("batch", "refused")),
            Some(Mishap::NoTerms) => {
                objective = Objective::default();
                objective.terms.omit("cls", "nothing to see");
            }
            None => {}
        }
        Ok(objective)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.toy.parameter_group(name)
    }
}

struct Run {
    store: ParameterStore,
    model: Clumsy,
    optimizer: PolySgd,
    trainer: Trainer,
}

impl Run {
    fn new(every: usize, mishaps: &[(usize, Mishap)]) -> Self {
        let store = ParameterStore::new();
        let toy = ToyBaseline::new(2, 4, &store, 3, DType::F32).unwrap();
        let model = Clumsy { toy, mishaps: mishaps.iter().copied().collect() };
        let optimizer = PolySgd::new(PolySgdConfig::intended(), &model, &store, STEPS).unwrap();
        Self { store, model, optimizer, trainer: Trainer::new(5).reading_every(every) }
    }

    fn step(&mut self, step: usize) -> Result<Vec<StepReport>, Error> {
        self.trainer.step(&mut self.model, &mut self.optimizer, &batch(step))
    }

    fn parameters(&self) -> Vec<Vec<f32>> {
        let vars = self.store.named_vars();
        vars.into_iter().map(|(_, var)| var.flatten_all().unwrap().to_vec1().unwrap()).collect()
    }
}

fn batch(step: usize) -> Batch {
    let view = |seed: u64, side: usize| {
        View::new(randn(seed, &[2, 3, side, side]).unwrap().to_dtype(DType::F32).unwrap()).unwrap()
    };
    let layout = ClassLayout::new(2).unwrap();
    Batch {
        views: Pair::new(view(step as u64, 8), view(100 + step as u64, 6)),
        labels: ImageLabels::new(vec![vec![0], vec![1]], layout, DType::F32, &Device::Cpu).unwrap(),
        names: vec!["a".to_string(), "b".to_string()],
        progress: Progress { step, epoch: 0, is_epoch_start: step == 0 },
    }
}

fn facts(reports: &[StepReport]) -> Vec<impl PartialEq + std::fmt::Debug> {
    let of =
        |r: &StepReport| (r.step, r.learning_rate, r.total, r.terms.clone(), r.omitted.clone(), r.unreached.clone());
    reports.iter().map(of).collect()
}

#[test]
fn reading_less_often_changes_no_number() {
    let mishaps = [(2, Mishap::NoTerms), (3, Mishap::NoTerms)];
    let mut each = Run::new(1, &mishaps);
    let expected: Vec<StepReport> = (0..STEPS).flat_map(|step| each.step(step).unwrap()).collect();
    assert_eq!(expected.len(), STEPS);
    assert!(expected[1].total.is_some() && expected[2].total.is_none() && expected[2].omitted.len() == 1);
    for every in [0, 2, 3, 100] {
        let mut run = Run::new(every, &mishaps);
        let mut reports = Vec::new();
        for step in 0..STEPS {
            let now = run.step(step).unwrap();
            assert_eq!(now.len(), if (step + 1).is_multiple_of(every.max(1)) { every.max(1) } else { 0 });
            reports.extend(now);
        }
        reports.extend(run.trainer.read().unwrap());
        assert_eq!(facts(&reports), facts(&expected), "read after {every} steps");
        assert_eq!(run.parameters(), each.parameters(), "read after {every} steps");
        assert!(run.trainer.read().unwrap().is_empty());
    }
}

fn expect_divergence(result: Result<Vec<StepReport>, Error>, at: usize) {
    let Err(Error::Diverged { step, what, value }) = result else { panic!("not told: {result:?}") };
    assert_eq!((step, what.as_str()), (at, "loss term `ratio`"));
    assert!(value.is_nan());
}

#[test]
fn divergence_is_told_for_the_step_it_happened_in() {
    let mut run = Run::new(3, &[(1, Mishap::NoNumber)]);
    assert!(run.step(0).unwrap().is_empty() && run.step(1).unwrap().is_empty());
    expect_divergence(run.step(2), 1);
    // Whoever wants to save the model before that is told as well.
    let mut run = Run::new(3, &[(1, Mishap::NoNumber)]);
    assert!(run.step(0).unwrap().is_empty() && run.step(1).unwrap().is_empty());
    expect_divergence(run.trainer.read(), 1);
}

#[test]
fn a_step_whose_terms_are_read_at_once_is_not_taken_when_it_diverges() {
    for (every, first) in [(1, 4), (3, 5)] {
        let mut run = Run::new(every, &[(first, Mishap::NoNumber)]);
        (0..first).for_each(|step| drop(run.step(step).unwrap()));
        let before = run.parameters();
        expect_divergence(run.step(first), first);
        assert_eq!(run.parameters(), before);
    }
}

#[test]
fn what_a_step_stumbles_over_may_be_what_an_earlier_one_left() {
    let mut run = Run::new(4, &[(1, Mishap::NoNumber), (2, Mishap::Refusal)]);
    assert!(run.step(0).unwrap().is_empty() && run.step(1).unwrap().is_empty());
    expect_divergence(run.step(2), 1);
    // Or not; then the steps before it stand.
    let mut run = Run::new(4, &[(2, Mishap::Refusal)]);
    assert!(run.step(0).unwrap().is_empty() && run.step(1).unwrap().is_empty());
    assert!(run.step(2).unwrap_err().to_string().contains("refused"));
    let reports = run.trainer.read().unwrap();
    assert_eq!(reports.iter().map(|report| (report.step, report.terms.len())).collect::<Vec<_>>(), [(0, 1), (1, 1)]);
    assert!(reports.iter().all(|report| report.total.is_some()));
}
