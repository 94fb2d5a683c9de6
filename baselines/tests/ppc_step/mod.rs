//! The released PPC step as a whole: SEAM's losses at one size for both views, and the contrast.

#![allow(clippy::unwrap_used, reason = "a test helper that fails is a test that fails")]

use candle_core::Tensor;
use candle_wsss::regularizer::ppc::{PpcConfig, evaluate};
use candle_wsss::{ClassLayout, ImageLabels, Objective, Pair, ReplaySampler, ops};
use candle_wsss_baselines::seam::SeamLossConfig;
use candle_wsss_baselines::seam::loss::{self, ViewMaps};

use crate::fixture::Fixture;
use crate::support::{Inputs, SCALAR, background_last, labels, spatial_mean};

const VIEWS: Pair<usize> = Pair { source: 1, target: 2 };
const INPUTS: [&str; 8] = ["cam1", "cam_rv1", "cam_rv1_down", "f_proj1", "cam2", "cam_rv2", "cam_rv2_down", "f_proj2"];

// SEAM's order of classes, which the file does not name.
const BACKGROUND: usize = 0;

fn maps(inputs: &Inputs) -> Pair<ViewMaps> {
    VIEWS.map(|view| {
        let get = |name: &str| background_last(inputs.get(&format!("{name}{view}")), BACKGROUND);
        let cam = get("cam");
        let means = spatial_mean(&cam);
        let logits = means.narrow(1, 0, means.dim(1).unwrap() - 1).unwrap();
        ViewMaps { logits, cam, refined: get("cam_rv") }
    })
}

/// SEAM's losses. The released code brings the maps of view 1 to a fixed size, which those of view 2 have.
fn seam(f: &Fixture, maps: &Pair<ViewMaps>, labels: &ImageLabels) -> Objective {
    let (_, _, h, w) = maps.target.cam.dims4().unwrap();
    assert_eq!((h, w), (f.count("er_size"), f.count("er_size")), "{}", f.name);
    let config = SeamLossConfig::default();
    for (view, maps) in [(1, &maps.source), (2, &maps.target)] {
        let cls = ops::soft_margin(&maps.logits, labels.multi_hot()).unwrap();
        f.check_scalar(&format!("loss_cls{view}"), &cls, SCALAR);
        let pooled = loss::min_pool(&maps.refined, labels, config.min_pool_divisor).unwrap().unwrap();
        f.check_scalar(&format!("loss_rvmin{view}"), &pooled, SCALAR);
    }
    let objective = loss::objective(maps, labels, &config).unwrap();
    let term = |name: &str| objective.terms.get(name).unwrap().value.clone();
    f.check_scalar("loss_cls", &(term("cls") + term("min_pool")).unwrap(), SCALAR);
    f.check_scalar("loss_er", &term("er"), SCALAR);
    f.check_scalar("loss_ecr", &term("ecr"), SCALAR);
    objective
}

fn indices(f: &Fixture, name: &str) -> Vec<usize> {
    f.tensor(name).to_vec1::<f64>().unwrap().into_iter().map(|index| index as usize).collect()
}

/// The stored draws, half of each class's pixels, under our numbers of the classes.
fn sampler(f: &Fixture, layout: ClassLayout) -> ReplaySampler {
    let mut sampler = ReplaySampler::new();
    for (view, scope) in [(1, "intra/source"), (2, "intra/target")] {
        let mut drawn = indices(f, &format!("hard_random_idx{view}")).into_iter();
        let classes = indices(f, &format!("class_ids{view}"));
        for (class, len) in classes.into_iter().zip(indices(f, &format!("class_len{view}"))) {
            let class = if class == BACKGROUND { layout.background() } else { class - 1 };
            let half: Vec<usize> = drawn.by_ref().take(len / 2).collect();
            if !half.is_empty() {
                sampler = sampler.record_distinct(&format!("{scope}/{class}"), half);
            }
        }
        assert_eq!(drawn.next(), None, "{}: draws of no class", f.name);
    }
    sampler
}

fn contrast(f: &Fixture, inputs: &Inputs, labels: &ImageLabels) -> Objective {
    let grid = f.count("contrast_grid");
    let config = PpcConfig {
        background_score: f.constant("bg_threshold"),
        grid: (grid, grid),
        pixels_per_prototype_divisor: grid * grid / f.raw("top_indices1").dim(1).unwrap(),
        temperature: f.constant("temperature"),
        weight: f.constant("gamma"),
        ..PpcConfig::seam()
    };
    let features = VIEWS.map(|view| inputs.get(&format!("f_proj{view}")).clone());
    let cams = VIEWS.map(|view| background_last(inputs.get(&format!("cam_rv{view}_down")), BACKGROUND));
    let objective = evaluate(&features, cams.as_ref(), labels, &config, &sampler(f, labels.layout())).unwrap();
    for (term, scalar) in
        [("cross_prototype", "loss_cross_nce"), ("cross_label", "loss_cross_nce2"), ("intra", "loss_intra_nce")]
    {
        let term = objective.terms.get(term).unwrap();
        f.check_scalar(scalar, &(&term.value * term.weight).unwrap(), SCALAR);
    }
    objective
}

#[test]
fn whole_step() {
    for f in Fixture::with_prefix("ppc_total_step") {
        let inputs = Inputs::new(&f, &INPUTS);
        let labels = labels(&f);
        let mut objective = seam(&f, &maps(&inputs), &labels);
        let contrast = contrast(&f, &inputs, &labels);
        f.check_scalar("loss_nce", &contrast.terms.total().unwrap().unwrap(), SCALAR);
        objective.absorb("ppc", contrast).unwrap();
        assert!(objective.terms.omitted().is_empty());
        let total: Tensor = objective.terms.total().unwrap().unwrap();
        f.check_scalar("loss", &total, SCALAR);
        // The maps of the contrast get no gradient: none is stored.
        inputs.check_gradients(&f, "loss", &total);
    }
}
