//! RCA on a toy baseline: names, purity, memory, gradients of everything, inference, stacking.

use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::hsc::{HscConfig, HscRegularizer};
use candle_wsss::regularizer::rca::{
    FineHead, MemorySpace, MemoryStart, RcaConfig, RcaInference, RcaRegularizer, cluster,
};
use candle_wsss::testing::{ToyBaseline, assert_close, randn};
use candle_wsss::{
    Baseline, MemoryState, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress, Regularized, Regularizer,
    Sampler, SeededSampler, Step, View, ViewOutput,
};

use super::inputs::{labels, numbers};

const FOREGROUND: usize = 3;
const PRESENT: &[&[usize]] = &[&[0, 2], &[1]];

/// In training, an epoch with the contrast.
const LATE: Progress = Progress { step: 9, epoch: 2, is_epoch_start: false };

fn small(config: RcaConfig) -> RcaConfig {
    let head = FineHead::PerClass { hidden: Some(4), layers: 1 };
    RcaConfig { head, memory_length: 4, clusters: 2, gate: 0.2, ..config }
}

struct Run {
    store: ParameterStore,
    model: Regularized<ToyBaseline>,
    views: Pair<View>,
    labels: candle_wsss::ImageLabels,
}

impl Run {
    fn new(config: RcaConfig, present: &[&[usize]]) -> Self {
        Self::of(config, present, FOREGROUND, DType::F64)
    }

    fn of(config: RcaConfig, present: &[&[usize]], foreground: usize, dtype: DType) -> Self {
        let store = ParameterStore::new();
        let toy = ToyBaseline::new(foreground, 7, &store, 1, dtype).unwrap();
        let vb = store.var_builder(1, dtype, &Device::Cpu).pp(&config.name);
        let rca = RcaRegularizer::new(config, toy.spec(), vb, &mut SeededSampler::new(2).child("rca")).unwrap();
        let n = present.len();
        let view = |size: usize| {
            View::new(randn(3 + size as u64, &[n, 3, size, size]).unwrap().to_dtype(dtype).unwrap()).unwrap()
        };
        let multi_hot = labels(present, foreground).multi_hot().to_dtype(dtype).unwrap();
        let layout = toy.spec().layout;
        let labels = candle_wsss::ImageLabels::from_multi_hot(&multi_hot, layout).unwrap();
        Self { model: rca.wrap(toy), views: Pair::new(8, 5).map(view), labels, store }
    }

    // As in training: the baseline's own.
    fn outputs(&self) -> Pair<ViewOutput> {
        let mut draws = SeededSampler::new(0);
        self.views.as_ref().try_map(|view| self.model.forward(view, Mode::Train(&mut draws))).unwrap()
    }

    fn objective_of(&self, outputs: &Pair<ViewOutput>, progress: Progress) -> candle_wsss::Result<Objective> {
        let step = Step { model: &self.model, views: &self.views, outputs, labels: &self.labels, progress };
        self.model.objective(&step, &SeededSampler::new(4))
    }

    fn objective(&self, progress: Progress) -> Objective {
        self.objective_of(&self.outputs(), progress).unwrap()
    }
}

fn names(objective: &Objective) -> Vec<&str> {
    objective.terms.iter().map(|term| term.name.as_str()).collect()
}

fn omitted(objective: &Objective) -> Vec<&str> {
    objective.terms.omitted().iter().map(|term| term.name.as_str()).collect()
}

fn entries(state: &MemoryState) -> Vec<(String, Vec<f64>)> {
    state.iter().map(|(name, tensor)| (name.to_string(), numbers(tensor))).collect()
}

fn entry(state: &MemoryState, key: &str) -> Vec<f64> {
    entries(state).into_iter().find(|(name, _)| name == key).unwrap().1
}

fn value(objective: &Objective, name: &str) -> f64 {
    objective.terms.get(name).unwrap().value.to_scalar().unwrap()
}

#[test]
fn the_contrast_begins_with_its_epoch() {
    let run = Run::new(small(RcaConfig::default()), PRESENT);
    for epoch in 0..2 {
        let objective = run.objective(Progress { epoch, ..LATE });
        assert_eq!(names(&objective), ["cls", "rca/fine"]);
        assert!(omitted(&objective).is_empty());
    }
    let objective = run.objective(LATE);
    assert_eq!(names(&objective), ["cls", "rca/fine", "rca/contrast"]);
    assert_eq!(objective.terms.get("rca/contrast").unwrap().weight, 0.01);
    let keys: Vec<&str> = objective.memory.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["rca.centroids", "rca.filled", "rca.pointer", "rca.queue"]);
    let off = RcaConfig { contrast_weight: 0.0, fine_weight: 0.0, ..RcaConfig::default() };
    assert_eq!(names(&Run::new(small(off), PRESENT).objective(LATE)), ["cls"]);
}

#[test]
fn an_objective_changes_nothing_and_a_commit_does() {
    for config in [RcaConfig::default(), RcaConfig::intended()] {
        let mut run = Run::new(small(config), PRESENT);
        let before = entries(&run.model.memory().unwrap());
        let (one, two) = (run.objective(LATE), run.objective(LATE));
        assert_eq!(one.terms.scalars().unwrap(), two.terms.scalars().unwrap());
        assert_eq!(entries(&one.memory), entries(&two.memory));
        assert_eq!(entries(&run.model.memory().unwrap()), before);
        run.model.commit(one.memory).unwrap();
        assert_eq!(entries(&run.model.memory().unwrap()), entries(&two.memory));
        assert_ne!(entries(&run.model.memory().unwrap()), before);
        let next = run.objective(LATE);
        assert_ne!(next.terms.scalars().unwrap(), two.terms.scalars().unwrap());
        assert!(omitted(&next).is_empty());
    }
}

#[test]
fn saved_memory_resumes_the_run() {
    for config in [RcaConfig::default(), RcaConfig::intended()] {
        let config = small(config);
        let mut run = Run::new(config.clone(), PRESENT);
        for _ in 0..3 {
            run.model.commit(run.objective(LATE).memory).unwrap();
        }
        let bytes = run.model.memory().unwrap().to_safetensors(None).unwrap();
        let mut resumed = Run::new(config, PRESENT);
        resumed.model.restore(MemoryState::from_safetensors(&bytes, &Device::Cpu).unwrap()).unwrap();
        let progress = Progress { is_epoch_start: true, ..LATE };
        let (resumed, run) = (resumed.objective(progress), run.objective(progress));
        assert_eq!(resumed.terms.scalars().unwrap(), run.terms.scalars().unwrap());
        assert_eq!(entries(&resumed.memory), entries(&run.memory));
    }
}

#[test]
fn memory_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut run = Run::new(small(RcaConfig::default()), PRESENT);
    let before = entries(&run.model.memory().unwrap());
    let broken = |key: &str, change: &dyn Fn(&Tensor) -> Option<Tensor>| {
        let mut state = MemoryState::default();
        for (name, tensor) in run.model.memory().unwrap().iter() {
            if let Some(tensor) = if name == key { change(tensor) } else { Some(tensor.clone()) } {
                state.insert(name, &tensor).unwrap();
            }
        }
        state
    };
    let mut surplus = run.model.memory().unwrap();
    surplus.insert("rca.more", &randn(0, &[2]).unwrap()).unwrap();
    let far = |tensor: &Tensor| Some((tensor.ones_like().unwrap() * 4.0).unwrap());
    for (state, message) in [
        (broken("rca.queue", &|t| Some(t.narrow(1, 0, 3).unwrap())), "`rca.queue`: expected shape [3, 4, 7]"),
        (broken("rca.centroids", &|_| None), "`rca.centroids`: missing"),
        (broken("rca.filled", &|_| None), "`rca.filled`: missing"),
        (broken("rca.pointer", &far), "`rca.pointer`: must be below 4"),
        (surplus, "`rca.more`: unexpected"),
    ] {
        let got = run.model.restore(state).unwrap_err().to_string();
        assert!(got.contains(message), "{got}");
        assert_eq!(entries(&run.model.memory().unwrap()), before);
    }
}

#[test]
fn centroids_are_made_at_the_start_of_every_epoch_but_the_first() {
    let run = Run::new(small(RcaConfig::default()), PRESENT);
    let before = entry(&run.model.memory().unwrap(), "rca.centroids");
    let at = |epoch, is_epoch_start| run.objective(Progress { epoch, is_epoch_start, ..LATE });
    assert_eq!(entry(&at(0, true).memory, "rca.centroids"), before);
    assert_eq!(entry(&at(1, false).memory, "rca.centroids"), before);
    let (first, later) = (at(1, true), at(2, true));
    assert_ne!(entry(&first.memory, "rca.centroids"), before);
    assert_eq!(entry(&first.memory, "rca.centroids"), entry(&later.memory, "rca.centroids"));
    // They serve in the step that makes them.
    assert_ne!(value(&first, "rca/fine"), value(&at(1, false), "rca/fine"));
    // They are those of the slots before the step writes.
    let mut memory = run.model.memory().unwrap().split_off("rca");
    let queue = candle_wsss::ClassQueue::take_from(&mut memory, [3, 4, 7], DType::F64, &Device::Cpu).unwrap();
    let draws = SeededSampler::new(4).child("rca").child("kmeans");
    let want = cluster(&queue, &memory.take("centroids", &[3, 2, 7]).unwrap(), 300, &draws).unwrap();
    assert_eq!(entry(&first.memory, "rca.centroids"), numbers(&want));
}

#[test]
fn gradients_reach_every_trained_parameter() {
    let run = Run::new(small(RcaConfig::default()), PRESENT);
    let gradients = run.objective(LATE).terms.total().unwrap().unwrap().backward().unwrap();
    let mut frozen = Vec::new();
    for (name, var) in run.store.named_vars() {
        if run.model.parameter_group(&name) == ParameterGroup::Frozen {
            frozen.push(name);
            continue;
        }
        let gradient = numbers(gradients.get(&var).unwrap_or_else(|| panic!("{name} gets no gradient")));
        assert!(gradient.iter().all(|g| g.is_finite()), "{name}");
        // The batch's mean takes a bias before it away again.
        assert!(name == "rca.extra_F.0.bias" || gradient.iter().any(|g| *g != 0.0), "{name}");
    }
    assert_eq!(frozen, ["rca.extra_F.1.running_mean", "rca.extra_F.1.running_var"]);
}

#[test]
fn the_contrast_teaches_the_embedding_and_the_trunk_but_not_the_coarse_maps() {
    let run = Run::new(small(RcaConfig { fine_weight: 0.0, ..RcaConfig::default() }), PRESENT);
    let gradients = run.objective(LATE).terms.get("rca/contrast").unwrap().value.backward().unwrap();
    let has = |name: &str| gradients.get(&run.store.get(name).unwrap()).is_some();
    assert!(has("rca.extra_F.0.weight") && has("rca.extra_F.3.bias") && has("toy.trunk.weight"));
    assert!(!has("toy.fc.weight") && !has("rca.Q.weight") && !has("rca.V.weight"));
}

#[test]
fn a_memory_of_features_waits_until_something_is_written() {
    let config = RcaConfig { memory_start: MemoryStart::Features, ..RcaConfig::default() };
    let mut run = Run::new(small(config), PRESENT);
    let first = run.objective(LATE);
    assert_eq!((names(&first), omitted(&first)), (vec!["cls", "rca/fine"], vec!["rca/contrast"]));
    assert!(first.terms.omitted()[0].reason.contains("written slot"));
    run.model.commit(first.memory).unwrap();
    assert_eq!(entry(&run.model.memory().unwrap(), "rca.filled"), [1.0; FOREGROUND]);
    assert_eq!(names(&run.objective(LATE)), ["cls", "rca/fine", "rca/contrast"]);
}

#[test]
fn a_memory_of_embeddings_has_their_width() {
    let config = RcaConfig { memory_space: MemorySpace::Query, embedding_dim: Some(5), ..RcaConfig::default() };
    let mut run = Run::new(small(config), PRESENT);
    let before = entry(&run.model.memory().unwrap(), "rca.queue");
    assert_eq!(before.len(), FOREGROUND * 4 * 5);
    run.model.commit(run.objective(Progress::default()).memory).unwrap();
    assert_ne!(entry(&run.model.memory().unwrap(), "rca.queue"), before);
    assert!(value(&run.objective(LATE), "rca/contrast").is_finite());
}

#[test]
fn evaluation_sees_the_fine_maps() {
    let run = Run::new(small(RcaConfig::default()), PRESENT);
    let view = &run.views.source;
    let (own, wrapped) =
        (run.model.get_ref().forward(view, Mode::Eval).unwrap(), run.model.forward(view, Mode::Eval).unwrap());
    wrapped.check(run.model.spec()).unwrap();
    let channels = |output: &ViewOutput, from: usize, len: usize| numbers(&output.cam.narrow(1, from, len).unwrap());
    assert_eq!(channels(&wrapped, FOREGROUND, 1), channels(&own, FOREGROUND, 1));
    assert_ne!(channels(&wrapped, 0, FOREGROUND), channels(&own, 0, FOREGROUND));
    let means = wrapped.cam.narrow(1, 0, FOREGROUND).unwrap().mean((2, 3)).unwrap();
    assert_close("logits", &wrapped.logits, &means, 1e-12).unwrap();
    assert_eq!(numbers(&wrapped.features), numbers(&own.features));
    // The same maps as those the fine term is about.
    let want = candle_wsss::ops::soft_margin(&wrapped.logits, run.labels.multi_hot()).unwrap();
    let got = value(&run.objective(LATE), "rca/fine");
    assert!((got - want.to_scalar::<f64>().unwrap()).abs() < 1e-12);
    // Training, and evaluation on request, see the baseline's.
    let mut draws = SeededSampler::new(0);
    let training = run.model.forward(view, Mode::Train(&mut draws)).unwrap();
    assert_eq!(numbers(&training.cam), numbers(&own.cam));
    let run = Run::new(small(RcaConfig { inference: RcaInference::Baseline, ..RcaConfig::default() }), PRESENT);
    let untouched = run.model.forward(view, Mode::Eval).unwrap();
    assert_eq!(numbers(&untouched.cam), numbers(&own.cam));
    assert_eq!(numbers(&untouched.logits), numbers(&own.logits));
}

#[test]
fn maps_of_another_size_than_the_features_are_resized() {
    let run = Run::new(small(RcaConfig::default()), PRESENT);
    let mut outputs = run.outputs();
    outputs.source.cam = outputs.source.cam.narrow(3, 0, 5).unwrap().contiguous().unwrap();
    assert!(value(&run.objective_of(&outputs, LATE).unwrap(), "rca/contrast").is_finite());
    outputs.source.features = outputs.source.features.narrow(1, 0, 6).unwrap();
    let message = run.objective_of(&outputs, LATE).unwrap_err().to_string();
    assert!(message.contains("ViewOutput::features"), "{message}");
}

#[test]
fn every_number_of_classes_and_images_stays_finite() {
    for foreground in [1, 6, 20, 80] {
        for images in 1..=4 {
            let present: Vec<Vec<usize>> = (0..images).map(|image| vec![(3 * image) % foreground]).collect();
            let present: Vec<&[usize]> = present.iter().map(Vec::as_slice).collect();
            for config in [RcaConfig::default(), RcaConfig::intended()] {
                let config = small(RcaConfig { memory_length: 2, ..config });
                let run = Run::of(config, &present, foreground, DType::F64);
                let objective = run.objective(Progress { is_epoch_start: true, ..LATE });
                assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
                assert!(entries(&objective.memory).iter().all(|(_, values)| values.iter().all(|x| x.is_finite())));
                // One class is everywhere: no region.
                let has_contrast = names(&objective).contains(&"rca/contrast");
                assert_eq!(has_contrast, omitted(&objective).is_empty());
                assert!(foreground > 1 || !has_contrast);
            }
        }
    }
}

#[test]
fn unlabelled_images_stay_finite() {
    for present in [&[&[][..], &[]][..], &[&[1]], &[&[]], &[&[], &[0, 1, 2]]] {
        for config in [RcaConfig::default(), RcaConfig::intended()] {
            let mut run = Run::new(small(config), present);
            for _ in 0..2 {
                let objective = run.objective(LATE);
                assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
                if run.labels.in_batch().is_empty() {
                    assert_eq!(omitted(&objective), ["rca/contrast"]);
                    assert_eq!(objective.terms.omitted()[0].reason, "no foreground label in the batch");
                }
                let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
                for (name, var) in run.store.named_vars() {
                    let finite = gradients.get(&var).is_none_or(|g| numbers(g).iter().all(|g| g.is_finite()));
                    assert!(finite, "{name}");
                }
                run.model.commit(objective.memory).unwrap();
            }
        }
    }
}

#[test]
fn stacked_on_another_it_changes_none_of_its_numbers() {
    let config = HscConfig { grid: (4, 4), pixel_dim: 4, region_dim: 5, ..HscConfig::default() };
    let alone = Run::new(small(RcaConfig::default()), PRESENT);
    let mut both = Run::new(small(RcaConfig::default()), PRESENT);
    let vb = both.store.var_builder(1, DType::F64, &Device::Cpu).pp("hsc");
    let mut draws = SeededSampler::new(2).child("hsc");
    let hsc = HscRegularizer::new(config, both.model.spec(), vb, &mut draws).unwrap();
    both.model = both.model.with(hsc).unwrap();
    let (one, two) = (alone.objective(LATE), both.objective(LATE));
    assert!(names(&two).contains(&"hsc/pixel/memory"));
    for term in one.terms.scalars().unwrap() {
        assert!(two.terms.scalars().unwrap().contains(&term), "{}", term.name);
    }
    let of_rca = |objective: Objective| entries(&{ objective.memory }.split_off("rca"));
    assert_eq!(of_rca(one), of_rca(both.objective(LATE)));
    both.model.commit(two.memory).unwrap();
    assert!(both.objective(LATE).terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
}

#[test]
fn another_name_moves_every_scope() {
    let run = Run::new(small(RcaConfig { name: "regions".to_string(), ..RcaConfig::default() }), PRESENT);
    let objective = run.objective(LATE);
    assert!(names(&objective)[1..].iter().all(|name| name.starts_with("regions/")));
    assert!(objective.memory.iter().all(|(key, _)| key.starts_with("regions.")));
    assert_eq!(run.model.parameter_group("regions.extra_F.1.running_var"), ParameterGroup::Frozen);
    assert_eq!(run.model.parameter_group("regions.K.bias"), ParameterGroup::Pretrained);
}

#[test]
fn float32_works_end_to_end() {
    for config in [RcaConfig::default(), RcaConfig::intended()] {
        let mut run = Run::of(small(config), PRESENT, FOREGROUND, DType::F32);
        for _ in 0..2 {
            let objective = run.objective(Progress { is_epoch_start: true, ..LATE });
            let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
            assert!(gradients.get(run.store.get("rca.V.weight").unwrap().as_tensor()).is_some());
            run.model.commit(objective.memory).unwrap();
        }
        assert_eq!(names(&run.objective(LATE)), ["cls", "rca/fine", "rca/contrast"]);
    }
}

#[test]
fn the_start_of_the_memory_depends_on_the_seed_alone() {
    let start = |seed: u64| {
        let store = ParameterStore::new();
        let toy = ToyBaseline::new(FOREGROUND, 7, &store, 1, DType::F64).unwrap();
        let vb = store.var_builder(1, DType::F64, &Device::Cpu);
        let mut draws = SeededSampler::new(seed);
        draws.uniform(3).unwrap();
        let rca = RcaRegularizer::new(small(RcaConfig::default()), toy.spec(), vb, &mut draws).unwrap();
        entries(&rca.memory().unwrap())
    };
    assert_eq!(start(1), start(1));
    assert_ne!(start(1), start(2));
}
