//! HSC on a toy baseline: names, purity, memory, gradients of everything.

use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::hsc::{ClassConfig, HscConfig, HscRegularizer, PixelConfig, RoiConfig};
use candle_wsss::testing::{ToyBaseline, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, MemoryState, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress,
    Regularized, Regularizer, SeededSampler, Step, View, ViewOutput,
};

use super::inputs::numbers;

const FOREGROUND: usize = 3;

fn small() -> HscConfig {
    HscConfig { grid: (6, 6), pixel_dim: 4, region_dim: 5, ..HscConfig::default() }
}

struct Run {
    store: ParameterStore,
    model: Regularized<ToyBaseline>,
    views: Pair<View>,
    labels: ImageLabels,
}

impl Run {
    fn new(config: HscConfig, present: &[&[usize]]) -> Self {
        let store = ParameterStore::new();
        let toy = ToyBaseline::new(FOREGROUND, 7, &store, 1, DType::F64).unwrap();
        let vb = store.var_builder(1, DType::F64, &Device::Cpu).pp(&config.name);
        let hsc = HscRegularizer::new(config, toy.spec(), vb, &mut SeededSampler::new(2).child("hsc")).unwrap();
        let present: Vec<Vec<usize>> = present.iter().map(|classes| classes.to_vec()).collect();
        let n = present.len();
        let layout = ClassLayout::new(FOREGROUND).unwrap();
        Self {
            model: hsc.wrap(toy),
            views: Pair::new(12, 6)
                .map(|size| View::new(randn(3 + size as u64, &[n, 3, size, size]).unwrap()).unwrap()),
            labels: ImageLabels::new(present, layout, DType::F64, &Device::Cpu).unwrap(),
            store,
        }
    }

    fn outputs(&self) -> Pair<ViewOutput> {
        self.views.as_ref().try_map(|view| self.model.forward(view, Mode::Eval)).unwrap()
    }

    fn objective_of(&self, outputs: &Pair<ViewOutput>) -> candle_wsss::Result<Objective> {
        let progress = Progress::default();
        let step = Step { model: &self.model, views: &self.views, outputs, labels: &self.labels, progress };
        self.model.objective(&step, &SeededSampler::new(4))
    }

    fn objective(&self) -> Objective {
        self.objective_of(&self.outputs()).unwrap()
    }
}

fn names(objective: &Objective) -> Vec<&str> {
    objective.terms.iter().map(|term| term.name.as_str()).collect()
}

fn entries(state: &MemoryState) -> Vec<(String, Vec<f64>)> {
    state.iter().map(|(name, tensor)| (name.to_string(), numbers(tensor))).collect()
}

const PRESENT: &[&[usize]] = &[&[0, 2], &[1]];

#[test]
fn terms_and_memory_are_named_after_the_levels() {
    let run = Run::new(small(), PRESENT);
    let objective = run.objective();
    let want = [
        "cls",
        "hsc/roi/intra",
        "hsc/roi/cross",
        "hsc/roi/foreground",
        "hsc/roi/background",
        "hsc/class/own",
        "hsc/class/mutual",
        "hsc/pixel/cross_prototype",
        "hsc/pixel/cross_label",
        "hsc/pixel/intra",
        "hsc/pixel/memory",
    ];
    assert_eq!(names(&objective), want);
    let keys: Vec<&str> = objective.memory.iter().map(|(key, _)| key).collect();
    let levels = ["class", "pixel", "roi"];
    let want: Vec<String> =
        levels.iter().flat_map(|level| ["source", "target"].map(|view| format!("hsc.{level}.{view}"))).collect();
    assert_eq!(keys, want);
}

#[test]
fn an_objective_changes_nothing_and_a_commit_does() {
    let mut run = Run::new(small(), PRESENT);
    let before = entries(&run.model.memory().unwrap());
    let (one, two) = (run.objective(), run.objective());
    assert_eq!(one.terms.scalars().unwrap(), two.terms.scalars().unwrap());
    assert_eq!(entries(&one.memory), entries(&two.memory));
    assert_eq!(entries(&run.model.memory().unwrap()), before);
    run.model.commit(one.memory).unwrap();
    assert_eq!(entries(&run.model.memory().unwrap()), entries(&two.memory));
    assert_ne!(entries(&run.model.memory().unwrap()), before);
    assert_ne!(run.objective().terms.scalars().unwrap(), two.terms.scalars().unwrap());
}

#[test]
fn saved_memory_resumes_the_run() {
    let mut run = Run::new(small(), PRESENT);
    run.model.commit(run.objective().memory).unwrap();
    let bytes = run.model.memory().unwrap().to_safetensors(None).unwrap();
    let mut resumed = Run::new(small(), PRESENT);
    resumed.model.restore(MemoryState::from_safetensors(&bytes, &Device::Cpu).unwrap()).unwrap();
    assert_eq!(resumed.objective().terms.scalars().unwrap(), run.objective().terms.scalars().unwrap());
    assert_eq!(entries(&resumed.objective().memory), entries(&run.objective().memory));
}

#[test]
fn memory_that_does_not_fit_is_refused_and_changes_nothing() {
    let mut run = Run::new(small(), PRESENT);
    let before = entries(&run.model.memory().unwrap());
    let broken = |change: &dyn Fn(&str, &Tensor) -> Option<Tensor>, surplus: bool| {
        let mut state = MemoryState::default();
        for (key, value) in run.model.memory().unwrap().iter() {
            if let Some(value) = change(key, value) {
                state.insert(key, &value).unwrap();
            }
        }
        if surplus {
            state.insert("hsc.roi.third", &Tensor::zeros((2, 5), DType::F64, &Device::Cpu).unwrap()).unwrap();
        }
        state
    };
    let misshapen = broken(
        &|key, value| Some(if key == "hsc.pixel.target" { value.narrow(1, 0, 3).unwrap() } else { value.clone() }),
        false,
    );
    let missing = broken(&|key, value| (key != "hsc.class.source").then(|| value.clone()), false);
    let surplus = broken(&|_, value| Some(value.clone()), true);
    for (state, key) in [(misshapen, "hsc.pixel.target"), (missing, "hsc.class.source"), (surplus, "hsc.roi.third")] {
        let message = run.model.restore(state).unwrap_err().to_string();
        assert!(message.contains(key), "{message}");
        assert_eq!(entries(&run.model.memory().unwrap()), before);
    }
}

#[test]
fn gradients_reach_every_trained_parameter() {
    let run = Run::new(small(), PRESENT);
    let gradients = run.objective().terms.total().unwrap().unwrap().backward().unwrap();
    let mut frozen = Vec::new();
    for (name, var) in run.store.named_vars() {
        if run.model.parameter_group(&name) == ParameterGroup::Frozen {
            frozen.push(name);
            continue;
        }
        let gradient = numbers(gradients.get(&var).unwrap_or_else(|| panic!("{name} gets no gradient")));
        assert!(gradient.iter().all(|g| g.is_finite()), "{name}");
        assert!(gradient.iter().any(|g| *g != 0.0), "{name}");
    }
    assert_eq!(frozen.len(), 4);
    assert!(frozen.iter().all(|name| name.starts_with("hsc.extra_F.1.")));
}

#[test]
fn unlabelled_and_single_images_stay_finite() {
    for present in [&[&[][..], &[]][..], &[&[1]], &[&[]]] {
        for config in [small(), HscConfig { grid: (6, 6), pixel_dim: 4, region_dim: 5, ..HscConfig::recommended() }] {
            let run = Run::new(config, present);
            let objective = run.objective();
            assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
            let omitted: Vec<&str> = objective.terms.omitted().iter().map(|term| term.name.as_str()).collect();
            let labelled = present.iter().any(|classes| !classes.is_empty());
            let want: &[&str] = if labelled { &[] } else { &["hsc/class/own", "hsc/class/mutual"] };
            assert_eq!(omitted, want);
            let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
            for (name, var) in run.store.named_vars() {
                let finite = gradients.get(&var).is_none_or(|g| numbers(g).iter().all(|g| g.is_finite()));
                assert!(finite, "{name}");
            }
        }
    }
}

#[test]
fn a_level_that_is_off_keeps_its_banks_and_the_others_their_numbers() {
    let all = Run::new(small(), PRESENT);
    let roi = RoiConfig { enabled: false, ..RoiConfig::default() };
    let class = ClassConfig { enabled: false, ..ClassConfig::default() };
    let only_pixel = Run::new(HscConfig { roi, class, ..small() }, PRESENT);
    let (all, one) = (all.objective(), only_pixel.objective());
    assert_eq!(one.terms.iter().len(), 5);
    for term in one.terms.scalars().unwrap() {
        assert!(all.terms.scalars().unwrap().contains(&term), "{}", term.name);
    }
    let start = entries(&only_pixel.model.memory().unwrap());
    for ((key, now), (_, before)) in entries(&one.memory).into_iter().zip(start) {
        assert_eq!(now == before, !key.starts_with("hsc.pixel."), "{key}");
    }
}

#[test]
fn another_name_moves_every_scope() {
    let pixel = PixelConfig { enabled: false, ..PixelConfig::default() };
    let run = Run::new(HscConfig { name: "contrast".to_string(), pixel, ..small() }, PRESENT);
    let objective = run.objective();
    assert!(names(&objective)[1..].iter().all(|name| name.starts_with("contrast/")));
    assert!(objective.memory.iter().all(|(key, _)| key.starts_with("contrast.")));
    assert_eq!(run.model.parameter_group("contrast.extra_F.1.bias"), ParameterGroup::Frozen);
}

#[test]
fn float32_works_end_to_end() {
    let store = ParameterStore::new();
    let toy = ToyBaseline::new(FOREGROUND, 7, &store, 1, DType::F32).unwrap();
    let vb = store.var_builder(1, DType::F32, &Device::Cpu).pp("hsc");
    let hsc = HscRegularizer::new(small(), toy.spec(), vb, &mut SeededSampler::new(2)).unwrap();
    let model = hsc.wrap(toy);
    let views = Pair::new(12, 6).map(|size: usize| {
        View::new(randn(3 + size as u64, &[2, 3, size, size]).unwrap().to_dtype(DType::F32).unwrap()).unwrap()
    });
    let layout = ClassLayout::new(FOREGROUND).unwrap();
    let labels = ImageLabels::new(vec![vec![0, 2], vec![1]], layout, DType::F32, &Device::Cpu).unwrap();
    let outputs = views.as_ref().try_map(|view| model.forward(view, Mode::Eval)).unwrap();
    let step = Step { model: &model, views: &views, outputs: &outputs, labels: &labels, progress: Progress::default() };
    let objective = model.objective(&step, &SeededSampler::new(4)).unwrap();
    let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
    assert!(gradients.get(store.get("hsc.proj_fc.weight").unwrap().as_tensor()).is_some());
    assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
}

#[test]
fn outputs_of_another_baseline_are_named() {
    let run = Run::new(small(), PRESENT);
    let mut outputs = run.outputs();
    outputs.target.features = outputs.target.features.narrow(1, 0, 6).unwrap();
    let message = run.objective_of(&outputs).unwrap_err().to_string();
    assert!(message.contains("ViewOutput::features"), "{message}");
}
