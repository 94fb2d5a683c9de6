use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::hsc::{HscConfig, HscRegularizer};
use candle_wsss::regularizer::pss::{CamSource, MamConfig, PssConfig, PssRegularizer, RcmConfig};
use candle_wsss::regularizer::{RegularizerConfig, Site, Twin};
use candle_wsss::testing::ToyBaseline;
use candle_wsss::{Baseline, ParameterStore, Sampler, SeededSampler};

use super::inputs::{FEATURE_DIM, Pass, Run, entries, names, numbers, omitted, value};

const PRESENT: &[&[usize]] = &[&[0, 2], &[1]];

fn rcm(rcm: RcmConfig) -> PssConfig {
    PssConfig { rcm, mam: MamConfig { enabled: false, ..MamConfig::default() }, ..PssConfig::default() }
}

fn mam(mam: MamConfig) -> PssConfig {
    PssConfig { mam, rcm: RcmConfig { enabled: false, ..RcmConfig::default() }, ..PssConfig::default() }
}

fn sizes(passes: &[Pass], by: &str) -> Vec<(usize, usize)> {
    passes.iter().filter(|pass| pass.by == by).map(|pass| pass.size).collect()
}

#[test]
fn terms_and_memory_have_their_names_and_weights() {
    let weights = PssConfig {
        rcm: RcmConfig { weight: 0.5, ..RcmConfig::default() },
        mam: MamConfig { weight: 2.0, ..MamConfig::default() },
        ..PssConfig::default()
    };
    let objective = Run::new(weights, PRESENT, 3).objective();
    assert_eq!(names(&objective), ["cls", "pss/rcm", "pss/mam"]);
    assert_eq!(objective.terms.iter().map(|term| term.weight).collect::<Vec<_>>(), [1.0, 0.5, 2.0]);
    let keys: Vec<&str> = objective.memory.iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["pss.support.fc.weight", "pss.support.trunk.weight"]);
    assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value > 0.0));
}

#[test]
fn an_objective_changes_nothing() {
    let mut run = Run::new(PssConfig::default(), PRESENT, 3);
    run.train();
    let before = entries(&run.model.memory().unwrap());
    let (one, two) = (run.objective(), run.objective());
    assert_eq!(one.terms.scalars().unwrap(), two.terms.scalars().unwrap());
    assert_eq!(entries(&one.memory), before);
    assert_eq!(entries(&run.model.memory().unwrap()), before);
}

#[test]
fn no_gradient_reaches_the_support_network() {
    let mut run = Run::new(PssConfig::default(), PRESENT, 3);
    for _ in 0..2 {
        let objective = run.objective();
        // Without a graph there is no way for a gradient.
        let passes = run.passes();
        assert!(passes.iter().all(|pass| pass.has_graph == (pass.by == "main")), "{passes:?}");
        assert!(objective.memory.iter().all(|(_, value)| !value.track_op()));
        let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
        for (name, var) in run.store.named_vars() {
            assert!(numbers(gradients.get(&var).unwrap()).iter().any(|g| *g != 0.0), "{name}");
        }
        run.train();
    }
}

#[test]
fn the_gradient_is_that_of_the_main_network_alone() {
    let mut run = Run::new(rcm(RcmConfig::default()), PRESENT, 3);
    // From the first commit on, the support network stays while the main one is moved by hand.
    run.train();
    let term = |run: &Run| run.objective().terms.get("pss/rcm").unwrap().value.clone();
    let var = run.store.get("toy.trunk.weight").unwrap();
    let gradient = numbers(term(&run).backward().unwrap().get(&var).unwrap());
    let start = numbers(var.as_tensor());
    let scale = gradient.iter().fold(0f64, |most, g| most.max(g.abs()));
    for at in (0..start.len()).step_by(7) {
        let moved = |by: f64| {
            let mut values = start.clone();
            values[at] += by;
            var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
            term(&run).to_scalar::<f64>().unwrap()
        };
        let difference = (moved(1e-6) - moved(-1e-6)) / 2e-6;
        assert!((difference - gradient[at]).abs() < 1e-6 * scale.max(1.0), "{difference} {}", gradient[at]);
    }
}

#[test]
fn every_network_is_run_at_its_scales() {
    let run = Run::new(PssConfig::default(), PRESENT, 3);
    drop(run.objective());
    let passes = run.passes();
    assert_eq!(sizes(&passes, "support"), [(4, 5), (8, 10), (12, 15), (16, 20)]);
    assert_eq!(sizes(&passes, "main"), [(4, 5), (16, 20)]);
    assert!(passes.iter().all(|pass| pass.draw.is_some() == (pass.by == "main")));
    // Draws come from streams named after the scale.
    let own = SeededSampler::new(4).child("pss");
    let draws: Vec<f64> = passes.iter().filter_map(|pass| pass.draw).collect();
    assert_eq!(draws, ["main/0.5", "main/2"].map(|name| own.child(name).uniform(1).unwrap()[0]));
}

#[test]
fn only_what_is_needed_is_run() {
    let passes = |config: PssConfig| {
        let run = Run::new(config, PRESENT, 3);
        drop(run.objective());
        let passes = run.passes();
        (sizes(&passes, "support"), sizes(&passes, "main"))
    };
    let scales = |config: PssConfig| PssConfig { support_scales: vec![0.5], ..config };
    assert_eq!(passes(scales(rcm(RcmConfig::default()))), (vec![(4, 5), (8, 10)], vec![]), "features at scale 1");
    let own = MamConfig { main_scales: vec![1.0], ..MamConfig::default() };
    assert_eq!(passes(scales(mam(own))), (vec![(4, 5)], vec![]));
    let off = MamConfig { weight: 0.0, ..MamConfig::default() };
    assert_eq!(
        passes(PssConfig { mam: off, ..rcm(RcmConfig { enabled: false, ..RcmConfig::default() }) }),
        (vec![], vec![])
    );
}

#[test]
fn terms_start_in_their_epochs() {
    let config = PssConfig {
        rcm: RcmConfig { start_epoch: 1, ..RcmConfig::default() },
        mam: MamConfig { start_epoch: 2, ..MamConfig::default() },
        ..PssConfig::default()
    };
    let mut run = Run::new(config, PRESENT, 3);
    let all: [(&[&str], &[&str]); 3] = [
        (&["cls"], &["pss/rcm", "pss/mam"]),
        (&["cls", "pss/rcm"], &["pss/mam"]),
        (&["cls", "pss/rcm", "pss/mam"], &[]),
    ];
    for (epoch, (there, missing)) in all.into_iter().enumerate() {
        run.progress.epoch = epoch;
        let objective = run.objective();
        assert_eq!((names(&objective), omitted(&objective)), (there.to_vec(), missing.to_vec()));
        assert_eq!(run.passes().is_empty(), epoch == 0, "the second network rests before the start");
        assert_eq!(objective.memory.iter().count(), 2, "and is moved all the same");
    }
    assert_eq!(run.objective().terms.omitted().len(), 0);
}

#[test]
fn a_term_that_is_off_leaves_the_other_its_number() {
    let both = Run::new(PssConfig::default(), PRESENT, 3).objective();
    let one = Run::new(rcm(RcmConfig::default()), PRESENT, 3).objective();
    let other = Run::new(mam(MamConfig::default()), PRESENT, 3).objective();
    assert_eq!(names(&one), ["cls", "pss/rcm"]);
    assert_eq!(names(&other), ["cls", "pss/mam"]);
    assert_eq!(value(&one, "pss/rcm"), value(&both, "pss/rcm"));
    assert_eq!(value(&other, "pss/mam"), value(&both, "pss/mam"));
    let neither = rcm(RcmConfig { enabled: false, ..RcmConfig::default() });
    let objective = Run::new(neither, PRESENT, 3).objective();
    assert_eq!((names(&objective), omitted(&objective)), (vec!["cls"], vec![]));
}

#[test]
fn the_maps_are_those_that_were_asked_for() {
    let of = |cam| {
        let rcm = RcmConfig { cam, ..RcmConfig::default() };
        let mam = MamConfig { cam, ..MamConfig::default() };
        Run::new(PssConfig { rcm, mam, ..PssConfig::default() }, PRESENT, 3).objective()
    };
    let (raw, refined, default) =
        (of(CamSource::Raw), of(CamSource::Refined), Run::new(PssConfig::default(), PRESENT, 3).objective());
    assert_ne!(value(&raw, "pss/rcm"), value(&refined, "pss/rcm"));
    assert_ne!(value(&raw, "pss/mam"), value(&refined, "pss/mam"));
    assert_eq!(value(&default, "pss/rcm"), value(&refined, "pss/rcm"));
    assert_eq!(value(&default, "pss/mam"), value(&raw, "pss/mam"));
}

#[test]
fn undefined_terms_are_left_out() {
    let thresholds = RcmConfig { foreground_threshold: 0.0, background_threshold: 0.0, ..RcmConfig::default() };
    let config = PssConfig { rcm: thresholds, ..PssConfig::default() };
    let flat = |run: &Run| {
        let var = run.store.get("toy.fc.weight").unwrap();
        var.set(&var.zeros_like().unwrap()).unwrap();
    };
    // No pixel is above 0 or below it.
    let run = Run::new(config, PRESENT, 3);
    flat(&run);
    assert_eq!(omitted(&run.objective()), ["pss/rcm", "pss/mam"]);
    // No label: all is background, and no map has anything to expand to.
    let unlabelled = Run::new(PssConfig::default(), &[&[], &[]], 3);
    let objective = unlabelled.objective();
    assert_eq!((names(&objective), omitted(&objective)), (vec!["cls", "pss/rcm"], vec!["pss/mam"]));
}

#[test]
fn any_number_of_classes_and_images_works() {
    for foreground in [1, 6, 20, 80] {
        for n in 1..=4 {
            let all: [Vec<usize>; 4] = [vec![0], vec![foreground - 1, 0], vec![], vec![foreground / 2]];
            let present: Vec<&[usize]> = all[..n].iter().map(Vec::as_slice).collect();
            let config = PssConfig { support_scales: vec![0.5, 1.0], ..PssConfig::default() };
            let run = Run::new(config, &present, foreground);
            let objective = run.objective();
            assert_eq!(objective.terms.iter().len() + objective.terms.omitted().len(), 3);
            assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
            let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
            for (name, var) in run.store.named_vars() {
                assert!(numbers(gradients.get(&var).unwrap()).iter().all(|g| g.is_finite()), "{name}");
            }
        }
    }
}

#[test]
fn neither_it_nor_a_neighbour_changes_the_other() {
    let hsc = |run: &Run| {
        let vb = run.store.var_builder(1, DType::F64, &Device::Cpu).pp("hsc");
        let config = HscConfig { grid: (6, 6), pixel_dim: 4, region_dim: 5, ..HscConfig::default() };
        HscRegularizer::new(config, run.model.spec(), vb, &mut SeededSampler::new(2)).unwrap()
    };
    let alone = Run::new(PssConfig::default(), PRESENT, 3);
    let other = Run::of(None, PRESENT, 3, DType::F64);
    let heads = hsc(&other);
    let other = other.with(heads);
    let both = Run::new(PssConfig::default(), PRESENT, 3);
    let heads = hsc(&both);
    let both = both.with(heads);
    let (alone, other, both) = (alone.objective(), other.objective(), both.objective());
    let together = both.terms.scalars().unwrap();
    assert_eq!(together.len(), 13);
    for term in alone.terms.scalars().unwrap().iter().chain(&other.terms.scalars().unwrap()) {
        assert!(together.contains(term), "{}", term.name);
    }
    let memory = entries(&both.memory);
    assert_eq!(memory.len(), 8);
    assert!(entries(&alone.memory).iter().chain(&entries(&other.memory)).all(|entry| memory.contains(entry)));
}

#[test]
fn float32_works_end_to_end() {
    let mut run = Run::of(Some(PssConfig::default()), PRESENT, 3, DType::F32);
    run.train();
    assert!(run.model.memory().unwrap().iter().all(|(_, value)| value.dtype() == DType::F32));
    assert!(run.objective().terms.scalars().unwrap().iter().all(|term| term.value.is_finite()));
}

#[test]
fn a_site_that_does_not_fit_is_refused() {
    let store = ParameterStore::new();
    let toy = ToyBaseline::new(3, FEATURE_DIM, &store, 1, DType::F32).unwrap();
    let refused = |site: &Site<'_>| PssRegularizer::new(PssConfig::default(), site).unwrap_err().to_string();
    let site = Site::new(toy.spec());
    assert!(refused(&site).contains("with_twin"));
    let elsewhere = Twin::new(store.clone(), "model", |_| unreachable!());
    assert!(refused(&site.clone().with_twin(elsewhere)).contains("`model`"));
    let larger = ToyBaseline::twin(4, FEATURE_DIM, &store);
    assert!(refused(&site.clone().with_twin(larger)).contains("fc.weight"));
    let store = ParameterStore::new();
    drop(ToyBaseline::new(4, FEATURE_DIM, &store, 1, DType::F32).unwrap());
    assert!(refused(&site.with_twin(ToyBaseline::twin(4, FEATURE_DIM, &store))).contains("twin for `pss`"));
}

#[test]
fn it_is_built_from_a_configuration() {
    let store = ParameterStore::new();
    let toy = ToyBaseline::new(3, FEATURE_DIM, &store, 1, DType::F32).unwrap();
    let site = Site::new(toy.spec()).with_twin(ToyBaseline::twin(3, FEATURE_DIM, &store));
    let config: RegularizerConfig = serde_json::from_str(r#"{"type": "pss", "support_momentum": 0.9}"#).unwrap();
    let vb = store.var_builder(1, DType::F32, &Device::Cpu);
    let built = config.build(&site, vb, &SeededSampler::new(1)).unwrap();
    assert_eq!(built.name(), "pss");
    assert_eq!(store.named_vars().len(), 2, "it has no parameters of its own");
    assert!(!config.alters_inference());
}

#[test]
fn an_output_of_another_network_is_named() {
    let run = Run::new(PssConfig::default(), PRESENT, 3);
    let pair = run.views.as_ref().try_map(|view| run.model.forward(view, candle_wsss::Mode::Eval));
    let mut outputs = pair.unwrap();
    outputs.source.cam = Tensor::zeros((2, 3, 8, 10), DType::F64, &Device::Cpu).unwrap();
    let step = candle_wsss::Step {
        model: &run.model,
        views: &run.views,
        outputs: &outputs,
        labels: &run.labels,
        progress: run.progress,
    };
    let message = run.model.objective(&step, &SeededSampler::new(4)).unwrap_err().to_string();
    assert!(message.contains("ViewOutput::cam"), "{message}");
}
