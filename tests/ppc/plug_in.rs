//! PPC on a toy baseline: names, purity, gradients, and beside another regularizer.

use candle_core::{DType, Device};
use candle_wsss::regularizer::hsc::{HscConfig, HscRegularizer};
use candle_wsss::regularizer::ppc::{PpcConfig, PpcRegularizer};
use candle_wsss::regularizer::{RegularizerConfig, Site};
use candle_wsss::testing::{ToyBaseline, assert_close, randn};
use candle_wsss::{
    Baseline, ClassLayout, ImageLabels, Mode, Objective, Pair, ParameterGroup, ParameterStore, Progress, Regularized,
    Regularizer, SeededSampler, Step, TermValue, View, ViewOutput,
};

use super::inputs::numbers;

const FOREGROUND: usize = 5;

fn small() -> PpcConfig {
    PpcConfig { grid: (6, 6), projection_dim: 4, ..PpcConfig::default() }
}

struct Run {
    store: ParameterStore,
    model: Regularized<ToyBaseline>,
    views: Pair<View>,
    labels: ImageLabels,
}

#[derive(Clone, Copy)]
enum Part {
    Ppc,
    Hsc,
}

impl Run {
    fn new(config: &PpcConfig, parts: &[Part]) -> Self {
        Self::of(config, parts, DType::F64, &[&[0, 2], &[1]])
    }

    fn of(config: &PpcConfig, parts: &[Part], dtype: DType, present: &[&[usize]]) -> Self {
        let store = ParameterStore::new();
        let toy = ToyBaseline::new(FOREGROUND, 7, &store, 1, dtype).unwrap();
        let spec = toy.spec().clone();
        let vb = store.var_builder(1, dtype, &Device::Cpu);
        let mut model = Regularized::new(toy);
        for part in parts {
            let part: Box<dyn Regularizer> = match part {
                Part::Ppc => Box::new(PpcRegularizer::new(config.clone(), &spec, vb.pp(&config.name)).unwrap()),
                Part::Hsc => {
                    let hsc = HscConfig { grid: (6, 6), pixel_dim: 4, region_dim: 5, ..HscConfig::default() };
                    let mut draws = SeededSampler::new(2).child("hsc");
                    Box::new(HscRegularizer::new(hsc, &spec, vb.pp("hsc"), &mut draws).unwrap())
                }
            };
            model = model.with_boxed(part).unwrap();
        }
        let present: Vec<Vec<usize>> = present.iter().map(|classes| classes.to_vec()).collect();
        let n = present.len();
        let image = |size: usize| randn(3 + size as u64, &[n, 3, size, size]).unwrap().to_dtype(dtype).unwrap();
        let layout = ClassLayout::new(FOREGROUND).unwrap();
        Self {
            views: Pair::new(12, 6).map(|size| View::new(image(size)).unwrap()),
            labels: ImageLabels::new(present, layout, dtype, &Device::Cpu).unwrap(),
            store,
            model,
        }
    }

    fn outputs(&self) -> Pair<ViewOutput> {
        self.views.as_ref().try_map(|view| self.model.forward(view, Mode::Eval)).unwrap()
    }

    fn objective_of(&self, outputs: &Pair<ViewOutput>, draws: u64) -> candle_wsss::Result<Objective> {
        let progress = Progress::default();
        let step = Step { model: &self.model, views: &self.views, outputs, labels: &self.labels, progress };
        self.model.objective(&step, &SeededSampler::new(draws))
    }

    fn objective(&self) -> Objective {
        self.objective_of(&self.outputs(), 4).unwrap()
    }

    fn terms_below(&self, scope: &str) -> Vec<TermValue> {
        let terms = self.objective().terms.scalars().unwrap();
        terms.into_iter().filter(|term| term.name.starts_with(scope)).collect()
    }
}

#[test]
fn terms_are_named_and_there_is_no_memory() {
    let run = Run::new(&small(), &[Part::Ppc]);
    let objective = run.objective();
    let names: Vec<&str> = objective.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(names, ["cls", "ppc/cross_prototype", "ppc/cross_label", "ppc/intra"]);
    assert!(objective.memory.iter().next().is_none() && run.model.memory().unwrap().iter().next().is_none());
    let renamed = Run::new(&PpcConfig { name: "contrast".to_string(), ..small() }, &[Part::Ppc]);
    assert_eq!(renamed.terms_below("contrast/").len(), 3);
    assert!(renamed.store.get("contrast.fc_proj.weight").is_some());
}

#[test]
fn an_objective_changes_nothing_and_draws_from_the_sampler() {
    let mut run = Run::new(&small(), &[Part::Ppc]);
    let outputs = run.outputs();
    let of = |run: &Run, draws| run.objective_of(&outputs, draws).unwrap().terms.scalars().unwrap();
    let one = of(&run, 4);
    assert_eq!(one, of(&run, 4));
    let other = of(&run, 5);
    let differ: Vec<bool> = one.iter().zip(&other).map(|(one, other)| one != other).collect();
    assert_eq!(differ, [false, false, false, true]);
    let objective = run.objective();
    run.model.commit(objective.memory).unwrap();
    assert_eq!(one, of(&run, 4));
}

#[test]
fn gradients_reach_every_parameter() {
    for parts in [&[Part::Ppc][..], &[Part::Ppc, Part::Hsc]] {
        let run = Run::new(&small(), parts);
        let gradients = run.objective().terms.total().unwrap().unwrap().backward().unwrap();
        for (name, var) in run.store.named_vars() {
            if run.model.parameter_group(&name) == ParameterGroup::Frozen {
                continue;
            }
            let gradient = numbers(gradients.get(&var).unwrap_or_else(|| panic!("{name} gets no gradient")));
            assert!(gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|g| *g != 0.0), "{name}");
        }
        assert_eq!(run.model.parameter_group("ppc.fc_proj.weight"), ParameterGroup::FromScratch);
    }
}

#[test]
fn beside_hsc_each_keeps_its_terms() {
    let [ppc, hsc] = [&[Part::Ppc], &[Part::Hsc]].map(|parts| Run::new(&small(), parts));
    let [first, last] = [&[Part::Ppc, Part::Hsc], &[Part::Hsc, Part::Ppc]].map(|parts| Run::new(&small(), parts));
    for both in [&first, &last] {
        assert_eq!(both.terms_below("ppc/"), ppc.terms_below("ppc/"));
        assert_eq!(both.terms_below("hsc/"), hsc.terms_below("hsc/"));
        assert_eq!(both.terms_below("cls"), ppc.terms_below("cls"));
    }
    let pulls = |run: &Run| {
        let gradients = run.objective().terms.total().unwrap().unwrap().backward().unwrap();
        gradients.get(run.store.get("ppc.fc_proj.weight").unwrap().as_tensor()).unwrap().clone()
    };
    assert_close("projection", &pulls(&first), &pulls(&ppc), 1e-13).unwrap();
}

#[test]
fn a_zero_feature_pixel_gets_no_gradient_through_the_projection() {
    let run = Run::new(&small(), &[Part::Ppc]);
    let mut outputs = run.outputs();
    for output in [&mut outputs.source, &mut outputs.target] {
        output.features = output.features.zeros_like().unwrap();
    }
    let objective = run.objective_of(&outputs, 4).unwrap();
    assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
    let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
    let projection = run.store.get("ppc.fc_proj.weight").unwrap();
    assert!(numbers(gradients.get(projection.as_tensor()).unwrap()).iter().all(|g| *g == 0.0));
}

#[test]
fn unlabelled_and_single_images_stay_finite_in_float32() {
    for present in [&[&[][..], &[]][..], &[&[1]], &[&[]]] {
        let run = Run::of(&small(), &[Part::Ppc], DType::F32, present);
        let objective = run.objective();
        assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
        let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
        for (name, var) in run.store.named_vars() {
            let finite = gradients.get(&var).is_none_or(|g| numbers(g).iter().all(|g| g.is_finite()));
            assert!(finite, "{name}");
        }
    }
}

#[test]
fn the_projection_is_rectified_and_starts_as_released() {
    let run = Run::new(&small(), &[Part::Ppc]);
    let projection = run.store.get("ppc.fc_proj.weight").unwrap();
    assert_eq!(projection.dims(), [4, 7, 1, 1]);
    let bound = (6f64 / 11.0).sqrt();
    let weights = numbers(projection.as_tensor());
    assert!(weights.iter().all(|w| w.abs() <= bound) && weights.iter().any(|w| w.abs() > 0.8 * bound));
    let ppc =
        PpcRegularizer::new(small(), run.model.spec(), run.store.var_builder(1, DType::F64, &Device::Cpu).pp("ppc"));
    let map = ppc.unwrap().project(&run.outputs().target.features).unwrap();
    assert_eq!(map.dims(), [2, 4, 6, 6]);
    assert!(numbers(&map).iter().all(|x| *x >= 0.0));
}

#[test]
fn built_from_a_configuration_it_has_the_same_terms() {
    let run = Run::new(&small(), &[Part::Ppc]);
    let store = ParameterStore::new();
    let toy = ToyBaseline::new(FOREGROUND, 7, &store, 1, DType::F64).unwrap();
    let spec = toy.spec().clone();
    let vb = store.var_builder(1, DType::F64, &Device::Cpu);
    let built = RegularizerConfig::Ppc(small()).build(&Site::new(&spec), vb, &SeededSampler::new(9)).unwrap();
    let model = Regularized::new(toy).with_boxed(built).unwrap();
    let outputs = run.outputs();
    let progress = Progress::default();
    let step = Step { model: &model, views: &run.views, outputs: &outputs, labels: &run.labels, progress };
    let objective = model.objective(&step, &SeededSampler::new(4)).unwrap();
    assert_eq!(objective.terms.scalars().unwrap(), run.objective().terms.scalars().unwrap());
}

#[test]
fn outputs_of_another_baseline_are_named() {
    let run = Run::new(&small(), &[Part::Ppc]);
    let mut outputs = run.outputs();
    outputs.target.features = outputs.target.features.narrow(1, 0, 6).unwrap();
    let message = run.objective_of(&outputs, 4).unwrap_err().to_string();
    assert!(message.contains("ViewOutput::features"), "{message}");
}
