//! Values, gradients and intermediates against golden vectors.

use candle_core::{DType, Tensor, Var};
use candle_wsss::contrast::{cross_entropy, prototype_logits};
use candle_wsss::prototype::{TopPixels, class_rows, pixel_rows};
use candle_wsss::regularizer::ppc::{
    Candidates, PixelSampling, PpcConfig, PpcSeeds, evaluate, prototypes, sample_pixels,
};
use candle_wsss::{Objective, Pair, ops};

use super::golden::{Golden, SCALAR, TENSOR, VIEWS};
use super::inputs::{numbers, rows};

const TERMS: [(&str, &str); 3] =
    [("cross_prototype", "loss_cross_nce"), ("cross_label", "loss_cross_nce2"), ("intra", "loss_intra_nce")];

fn objective(golden: &Golden, features: &Pair<Tensor>) -> Objective {
    let cams = golden.cams();
    evaluate(features, cams.as_ref(), &golden.labels, &golden.config(), &golden.sampler()).unwrap()
}

#[test]
fn terms_and_gradients_are_the_released_ones() {
    for golden in Golden::all() {
        let vars = golden.features().map(|map| Var::from_tensor(&map).unwrap());
        let objective = objective(&golden, &vars.as_ref().map(|var| var.as_tensor().clone()));
        assert!(objective.terms.omitted().is_empty(), "{}", golden.case.name);
        let check_gradient = |loss: &Tensor, name: &str| -> bool {
            let gradients = loss.backward().unwrap();
            let views = VIEWS.zip(vars.as_ref()).map(|(view, var)| {
                golden.check_gradient(&format!("grad_{name}__f_proj{view}"), gradients.get(var).unwrap())
            });
            views.source && views.target
        };
        for (term, scalar) in TERMS {
            let term = objective.terms.get(term).unwrap();
            let weighted = (&term.value * term.weight).unwrap();
            golden.case.check_scalar(scalar, &weighted, SCALAR);
            check_gradient(&weighted, scalar);
        }
        let total = objective.terms.total().unwrap().unwrap();
        golden.case.check_scalar("loss_nce", &total, SCALAR);
        // Of a whole step, only the contrast reaches the projected features.
        let is_stored = check_gradient(&total, "loss_nce") || check_gradient(&total, "loss");
        assert!(is_stored, "{}", golden.case.name);
    }
}

/// One view as the released code has it in hand, from our own functions.
struct ViewParts {
    scores: Tensor,
    // `(P, d)`, unit rows.
    pixels: Tensor,
    targets: Tensor,
    prototypes: Tensor,
}

fn views(golden: &Golden) -> Pair<ViewParts> {
    let config = golden.config();
    // Scores made here, not those of the file: those are rounded to float32, and rounding makes ties.
    let seeds = PpcSeeds::new(golden.cams().as_ref(), &golden.labels, &config).unwrap();
    golden.features().zip(seeds.scores).zip(seeds.labels).map(|((map, scores), labels)| {
        let map = ops::resize_bilinear(&map, config.grid, ops::Corners::Aligned).unwrap();
        ViewParts {
            pixels: ops::unit(&pixel_rows(&map).unwrap(), 1, 1e-12).unwrap(),
            targets: labels.flatten_all().unwrap(),
            prototypes: prototypes(&map, &scores, &golden.labels, &config).unwrap(),
            scores,
        }
    })
}

#[test]
fn seeds_and_prototypes_are_the_released_ones() {
    for golden in Golden::all() {
        for (view, parts) in [(1, views(&golden).source), (2, views(&golden).target)] {
            let labels: Vec<usize> = numbers(&parts.targets).into_iter().map(|class| class as usize).collect();
            assert_eq!(labels, golden.classes(&format!("pseudo_label{view}")), "{}", golden.case.name);
            let best = golden.case.raw(&format!("top_indices{view}")).dim(1).unwrap();
            let top = TopPixels::new(&class_rows(&parts.scores).unwrap(), best).unwrap();
            let check = |name: &str, got: &Tensor, axis: usize, tolerance: f64| {
                let name = format!("{name}{view}");
                if golden.case.has(&name) {
                    golden.check(&name, got, axis, tolerance);
                }
            };
            check("norm_cam", &parts.scores, 1, TENSOR);
            check("top_values", top.scores(), 0, TENSOR);
            check_chosen(&golden, view, top.indices());
            check("prototypes", &parts.prototypes, 0, TENSOR);
        }
    }
}

// The pixels of every prototype, in any order: two scores a rounding apart may swap. The background's score is one
// number, so the rule for ties decides all of its pixels, and is checked; where the last place of another class is tied,
// its scores were computed, and rounding may untie them.
fn check_chosen(golden: &Golden, view: usize, chosen: &Tensor) {
    let name = format!("top_indices{view}");
    if !golden.case.has(&name) {
        return;
    }
    let rows = |indices: &Tensor| -> Vec<Vec<u64>> {
        let rows = indices.to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
        rows.into_iter().map(|row| sorted(row.into_iter().map(|index| index as u64))).collect()
    };
    let want = rows(&golden.ours(&golden.case.tensor(&name), 0));
    let ties = format!("top_tie{view}");
    let tied = golden.case.has(&ties).then(|| numbers(&golden.ours(&golden.case.tensor(&ties), 0)));
    let background = golden.labels.layout().background();
    for (class, (got, want)) in rows(chosen).into_iter().zip(want).enumerate() {
        let is_tied = tied.as_ref().is_some_and(|tied| tied[class] != 0.0);
        assert!(
            (is_tied && class != background) || got == want,
            "{}: pixels of class {class} in view {view}",
            golden.case.name
        );
    }
}

fn sorted<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_unstable();
    values
}

#[test]
fn losses_of_every_pixel_are_the_released_ones() {
    for golden in Golden::all() {
        let config = golden.config();
        let parts = views(&golden);
        for (view, own, other) in [(1, &parts.source, &parts.target), (2, &parts.target, &parts.source)] {
            let x = |prototypes: &Tensor, targets: &Tensor| {
                let logits = prototype_logits(&own.pixels, prototypes, config.temperature).unwrap();
                cross_entropy(&logits, targets).unwrap()
            };
            let check = |name: String, got: &Tensor| {
                if golden.case.has(&name) {
                    golden.case.check(&name, got, TENSOR);
                }
            };
            let across = x(&other.prototypes, &own.targets);
            check(format!("pix_nce{view}"), &across);
            golden.case.check_scalar(&format!("loss_nce{view}"), &across.mean_all().unwrap(), SCALAR);
            let other_label = x(&own.prototypes, &other.targets);
            check(format!("pix_cross_label{view}"), &other_label);
            golden.case.check_scalar(&format!("loss_cross_nce2_{view}"), &other_label.mean_all().unwrap(), SCALAR);
            check_within(&golden, &config, view, own);
        }
    }
}

fn check_within(golden: &Golden, config: &PpcConfig, view: usize, own: &ViewParts) {
    let case = &golden.case;
    let logits = prototype_logits(&own.pixels, &own.prototypes, config.temperature).unwrap();
    let candidates = Candidates::new(&golden.labels, config.absent_classes, logits.device()).unwrap();
    let own_logits = logits.gather(&own.targets.unsqueeze(1).unwrap(), 1).unwrap().squeeze(1).unwrap();
    let name = format!("sim_intra{view}");
    if case.has(&name) {
        let cosines = (&own_logits * config.temperature).unwrap();
        case.check(&name, &((cosines + 1.0).unwrap() * 0.5).unwrap(), TENSOR);
    }
    if case.has(&format!("proto_neg_indices{view}")) {
        check_negatives(golden, view, &candidates.negatives(&logits, &own.targets, config).unwrap().unwrap());
    }
    let losses = candidates.mined_cross_entropy(&logits, &own.targets, config).unwrap().unwrap();
    let name = format!("pix_intra{view}");
    if case.has(&name) {
        case.check(&name, &losses, TENSOR);
    }
    let losses = numbers(&losses);
    let targets: Vec<usize> = numbers(&own.targets).into_iter().map(|class| class as usize).collect();
    let PixelSampling::HardHalf { hard_fraction } = config.sampling else { panic!("nothing is sampled") };
    let scope = ["intra/source", "intra/target"][view - 1];
    let samples =
        sample_pixels(&targets, &numbers(&own_logits), Some(hard_fraction), &golden.sampler(), scope).unwrap();
    check_samples(golden, view, &losses, &samples);
}

// As sets: of tied ranks, any will do.
fn check_negatives(golden: &Golden, view: usize, got: &Tensor) {
    let ties = numbers(&golden.case.tensor(&format!("proto_neg_tie{view}")));
    let sorted = |mut classes: Vec<usize>| {
        classes.sort_unstable();
        classes
    };
    let width = got.dim(1).unwrap();
    let want = golden.classes(&format!("proto_neg_indices{view}"));
    for ((got, want), tie) in rows(got).into_iter().zip(want.chunks(width)).zip(ties) {
        if tie == 0.0 {
            let got = got.into_iter().map(|class| class as usize).collect();
            assert_eq!(sorted(got), sorted(want.to_vec()), "{}", golden.case.name);
        }
    }
}

fn check_samples(golden: &Golden, view: usize, losses: &[f64], samples: &[candle_wsss::regularizer::ppc::ClassSample]) {
    let case = &golden.case;
    let classes = golden.classes(&format!("class_ids{view}"));
    assert_eq!(classes.len(), samples.len(), "{}", case.name);
    let lengths = numbers(&case.tensor(&format!("class_len{view}")));
    let of = |class: usize| samples.iter().find(|sample| sample.class == class).unwrap();
    for (class, len) in classes.iter().zip(lengths) {
        assert_eq!(of(*class).members.len(), len as usize, "{}", case.name);
    }
    if case.has(&format!("hard_low_idx{view}")) {
        for (class, want) in classes.iter().zip(golden.hard_halves(view)) {
            let chosen = &of(*class).chosen;
            let hard = sorted(chosen[chosen.len() / 2..].to_vec());
            assert_eq!(hard, sorted(want), "{}: class {class} of view {view}", case.name);
        }
    }
    let name = format!("class_loss{view}");
    if case.has(&name) {
        let mean = |class: &usize| {
            let sample = of(*class);
            let sum: f64 = sample.chosen.iter().map(|position| losses[sample.members[*position]]).sum();
            sum / sample.chosen.len().max(1) as f64
        };
        let got: Vec<f64> = classes.iter().map(mean).collect();
        let len = got.len();
        case.check(&name, &Tensor::from_vec(got, len, &candle_core::Device::Cpu).unwrap(), TENSOR);
    }
}
