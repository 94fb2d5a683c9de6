//! The three levels against golden vectors: values, intermediates, gradients, banks.

use candle_core::{DType, Tensor, Var};
use candle_wsss::prototype::{TopPixels, class_rows, pixel_rows};
use candle_wsss::regularizer::hsc::{
    ClassConfig, Level, PixelConfig, RoiConfig, class_level, pixel_level, region_vectors, roi_level, step_prototypes,
};
use candle_wsss::seed::label_softmax;
use candle_wsss::{ClassLayout, ImageLabels, Pair, PrototypeBank};

use super::inputs::numbers;
use crate::common::fixture::Fixture;

pub(crate) const SCALAR: f64 = 1e-9;
pub(crate) const TENSOR: f64 = 2e-7;

pub(crate) fn roi_config(case: &Fixture) -> RoiConfig {
    RoiConfig { weight: case.constant("gamma"), momentum: case.constant("momentum"), ..RoiConfig::default() }
}

pub(crate) fn class_config(case: &Fixture) -> ClassConfig {
    ClassConfig {
        weight: case.constant("gamma"),
        momentum: case.constant("momentum"),
        temperature: case.constant("temperature"),
        top_k: case.count("csc_topk"),
        high_k: case.count("csc_high"),
        ..ClassConfig::default()
    }
}

pub(crate) fn pixel_config(case: &Fixture, map_pixels: usize) -> PixelConfig {
    let config = PixelConfig {
        weight: case.constant("gamma"),
        momentum: case.constant("momentum"),
        temperature: case.constant("temperature"),
        ..PixelConfig::default()
    };
    assert_eq!(map_pixels / config.pixels_per_prototype_divisor, case.count("psc_topk"), "{}", case.name);
    config
}

pub(crate) fn pair(case: &Fixture, name: impl Fn(usize) -> String) -> Pair<Tensor> {
    Pair::new(case.tensor(&name(1)), case.tensor(&name(2)))
}

pub(crate) fn labels(case: &Fixture, name: impl Fn(usize) -> String) -> Pair<Tensor> {
    pair(case, name).map(|labels| labels.to_dtype(DType::U32).unwrap())
}

pub(crate) fn image_labels(case: &Fixture) -> ImageLabels {
    let multi_hot = case.tensor("label");
    let layout = ClassLayout::new(multi_hot.dim(1).unwrap()).unwrap();
    assert_eq!(layout.background(), case.count("background_channel"));
    ImageLabels::from_multi_hot(&multi_hot, layout).unwrap()
}

pub(crate) fn banks(case: &Fixture, source: &str, target: &str) -> Pair<PrototypeBank> {
    Pair::new(source, target).map(|name| PrototypeBank::from_rows(&case.tensor(name)))
}

pub(crate) fn check_banks(case: &Fixture, banks: &Pair<PrototypeBank>, source: &str, target: &str) {
    case.check(&format!("{source}_after"), banks.source.rows(), TENSOR);
    case.check(&format!("{target}_after"), banks.target.rows(), TENSOR);
}

pub(crate) fn check_term(case: &Fixture, level: &Level, term: &str, scalar: &str, factor: f64) {
    let value = &level.terms.get(term).unwrap_or_else(|| panic!("no term {term}")).value;
    case.check_scalar(scalar, &(value * factor).unwrap(), SCALAR);
}

pub(crate) fn check_roi(case: &Fixture, level: &Level) {
    for (term, scalar) in [
        ("intra", "rsc_loss_f2b_intra"),
        ("cross", "rsc_loss_f2b_cross"),
        ("foreground", "rsc_loss_f2b_fore_all"),
        ("background", "rsc_loss_f2b_back_all"),
    ] {
        check_term(case, level, term, scalar, 1.0);
    }
    case.check_scalar("loss_rsc", &level.terms.total().unwrap().unwrap(), SCALAR);
    check_banks(case, &level.banks, "memobank_fb", "memobank1_fb");
}

pub(crate) fn check_class(case: &Fixture, level: &Level) {
    // Columns: view 1 with bank 1, view 1 with bank 2, view 2 with bank 2, view 2 with bank 1.
    let stored = case.tensor("csc_terms");
    let mean = |columns: [usize; 2]| -> f64 {
        let terms = columns.map(|column| numbers(&stored.narrow(1, column, 1).unwrap()));
        terms.concat().iter().sum::<f64>() / (2 * terms[0].len()) as f64
    };
    for (term, want) in [("own", mean([0, 2])), ("mutual", mean([1, 3]))] {
        let got = level.terms.get(term).unwrap().value.to_scalar::<f64>().unwrap();
        assert!((got - want).abs() <= TENSOR * want.abs(), "{}: {term}: got {got}, want {want}", case.name);
    }
    case.check_scalar("loss_csc", &level.terms.total().unwrap().unwrap(), SCALAR);
    check_banks(case, &level.banks, "memobank1", "memobank2");
}

pub(crate) fn check_pixel(case: &Fixture, level: &Level) {
    let gamma = case.constant("gamma");
    for (term, scalar) in [
        ("cross_prototype", "psc_loss_cp"),
        ("cross_label", "psc_loss_cross_cl"),
        ("intra", "psc_loss_intra_cl"),
        ("memory", "psc_loss_memo"),
    ] {
        check_term(case, level, term, scalar, gamma);
    }
    case.check_scalar("loss_psc", &level.terms.total().unwrap().unwrap(), SCALAR);
    check_banks(case, &level.banks, "memobank1_p", "memobank2_p");
}

pub(crate) fn check_region_vectors(
    case: &Fixture,
    features: &Pair<Tensor>,
    labels: &Pair<Tensor>,
    layout: ClassLayout,
) {
    let views = features.as_ref().zip(labels.as_ref());
    for (view, (features, labels)) in [(1, views.source), (2, views.target)] {
        let vectors = region_vectors(features, labels, layout, &roi_config(case)).unwrap();
        case.check(&format!("rsc_pool_bg_view{view}"), &vectors.background, TENSOR);
        case.check(&format!("rsc_pool_fore_view{view}"), &vectors.foreground, TENSOR);
    }
}

pub(crate) fn check_class_vectors(
    case: &Fixture,
    features: &Pair<Tensor>,
    scores: &Pair<Tensor>,
    labels: &ImageLabels,
) {
    let classes: Vec<u32> = labels.in_batch().into_iter().map(|class| class as u32).collect();
    let want: Vec<u32> = numbers(&case.tensor("csc_classes")).into_iter().map(|class| class as u32).collect();
    assert_eq!(classes, want, "{}", case.name);
    if classes.is_empty() {
        return;
    }
    let classes = Tensor::from_vec(classes, want.len(), labels.multi_hot().device()).unwrap();
    let views = features.as_ref().zip(scores.as_ref());
    for (view, (features, scores)) in [(1, views.source), (2, views.target)] {
        let weights = class_rows(&label_softmax(scores, labels).unwrap()).unwrap();
        let top = TopPixels::new(&weights.index_select(&classes, 0).unwrap(), case.count("csc_topk")).unwrap();
        case.check(&format!("csc_top_values{view}"), top.scores(), TENSOR);
        case.check(&format!("csc_top_indices{view}"), top.indices(), 0.0);
        let rows = top.mean_direction(&pixel_rows(features).unwrap()).unwrap();
        case.check(&format!("csc_class_rep{view}"), &rows, TENSOR);
    }
}

pub(crate) fn check_pixel_vectors(
    case: &Fixture,
    features: &Pair<Tensor>,
    scores: &Pair<Tensor>,
    labels: &ImageLabels,
) {
    let views = features.as_ref().zip(scores.as_ref());
    for (view, (features, scores)) in [(1, views.source), (2, views.target)] {
        let (_, _, h, w) = features.dims4().unwrap();
        let top = TopPixels::new(&class_rows(scores).unwrap(), case.count("psc_topk")).unwrap();
        case.check(&format!("psc_top_indices{view}"), top.indices(), 0.0);
        let rows = step_prototypes(features, scores, labels, &pixel_config(case, h * w)).unwrap();
        case.check(&format!("psc_prototypes{view}"), &rows, TENSOR);
    }
}

// Leaves, and the same as plain tensors.
fn leaves(features: Pair<Tensor>) -> (Pair<Var>, Pair<Tensor>) {
    let vars = features.map(|f| Var::from_tensor(&f).unwrap());
    let tensors = vars.as_ref().map(|var| var.as_tensor().clone());
    (vars, tensors)
}

fn check_gradients(case: &Fixture, level: &Level, vars: &Pair<Var>, name: &str) {
    let gradients = level.terms.total().unwrap().unwrap().backward().unwrap();
    for (view, var) in [(1, &vars.source), (2, &vars.target)] {
        let name = format!("{name}{view}");
        if case.has(&name) {
            case.check(&name, gradients.get(var).unwrap(), TENSOR);
        }
    }
}

struct Case {
    fixture: Fixture,
    image_labels: ImageLabels,
    scores: Pair<Tensor>,
    labels: Pair<Tensor>,
}

fn cases() -> Vec<Case> {
    let prefixes = ["hsc_parts", "hsc_edge"];
    let fixtures = prefixes.into_iter().flat_map(Fixture::with_prefix);
    fixtures
        .map(|fixture| Case {
            image_labels: image_labels(&fixture),
            scores: pair(&fixture, |view| format!("cam{view}")),
            labels: labels(&fixture, |view| format!("pseudo_label{view}")),
            fixture,
        })
        .collect()
}

#[test]
fn roi_level_is_the_released_one() {
    for Case { fixture, image_labels, labels, .. } in cases() {
        let (vars, features) = leaves(pair(&fixture, |view| format!("fc{view}")));
        let before = banks(&fixture, "memobank_fb", "memobank1_fb");
        let layout = image_labels.layout();
        check_region_vectors(&fixture, &features, &labels, layout);
        let level = roi_level(&features, &labels, layout, &before, &roi_config(&fixture)).unwrap();
        check_roi(&fixture, &level);
        check_gradients(&fixture, &level, &vars, "grad_loss_rsc__fc");
    }
}

#[test]
fn class_level_is_the_released_one() {
    for Case { fixture, image_labels, scores, .. } in cases() {
        let (vars, features) = leaves(pair(&fixture, |view| format!("fc{view}")));
        let before = banks(&fixture, "memobank1", "memobank2");
        check_class_vectors(&fixture, &features, &scores, &image_labels);
        let level = class_level(&features, &scores, &image_labels, &before, &class_config(&fixture)).unwrap();
        if fixture.scalar("loss_csc").is_some() {
            check_class(&fixture, &level);
            check_gradients(&fixture, &level, &vars, "grad_loss_csc__fc");
        } else {
            // Not a number there; left out here.
            assert!(level.terms.total().unwrap().is_none() && level.terms.omitted().len() == 2);
            check_banks(&fixture, &level.banks, "memobank1", "memobank2");
        }
    }
}

#[test]
fn pixel_level_is_the_released_one() {
    for Case { fixture, image_labels, scores, labels } in cases() {
        let (vars, features) = leaves(pair(&fixture, |view| format!("fp{view}")));
        let before = banks(&fixture, "memobank1_p", "memobank2_p");
        let (_, h, w) = labels.source.dims3().unwrap();
        check_pixel_vectors(&fixture, &features, &scores, &image_labels);
        let config = pixel_config(&fixture, h * w);
        let level = pixel_level(&features, &scores, &labels, &image_labels, &before, &config).unwrap();
        check_pixel(&fixture, &level);
        check_gradients(&fixture, &level, &vars, "grad_loss_psc__fp");
    }
}
