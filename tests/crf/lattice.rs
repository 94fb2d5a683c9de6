//! The lattice against what released code computed with its own, number by number.

use candle_core::{DType, Tensor};
use candle_wsss::ops::{CrfKernel, DenseCrf, DenseCrfConfig};

use super::flat;
use crate::common::fixture::Fixture;

/// Of a belief, anywhere.
const MAX_DIFFERENCE: f64 = 2e-5;
/// Share of pixels.
const AGREEMENT: f64 = 0.999;

fn largest_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let b = b.to_dtype(DType::F32).unwrap();
    f64::from((a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar::<f32>().unwrap())
}

fn check(what: &str, got: &Tensor, want: &Tensor) {
    let difference = largest_difference(got, want);
    assert!(difference <= MAX_DIFFERENCE, "{what}: a belief differs by {difference:.2e}");
}

fn check_labels(what: &str, got: &Tensor, want: &Tensor) {
    let (got, want) = (flat(got), flat(want));
    let equal = got.iter().zip(&want).filter(|(got, want)| got == want).count() as f64 / got.len() as f64;
    assert!(equal >= AGREEMENT, "{what}: {equal} of the labels agree");
}

fn config(case: &Fixture, below: &str, iterations: usize) -> DenseCrfConfig {
    let constant = |name: &str| case.constant(&format!("{below}{name}"));
    DenseCrfConfig {
        kernel: CrfKernel::Lattice,
        iterations,
        gaussian_sxy: constant("gauss_sxy"),
        gaussian_compat: constant("gauss_compat"),
        bilateral_sxy: constant("bilateral_sxy"),
        bilateral_srgb: constant("bilateral_srgb"),
        bilateral_compat: constant("bilateral_compat"),
        ..DenseCrfConfig::default()
    }
}

fn hard(case: &Fixture, below: &str, iterations: usize) -> DenseCrfConfig {
    DenseCrfConfig { gt_prob: case.constant(&format!("{below}gt_prob")), ..config(case, below, iterations) }
}

fn soft(case: &Fixture, below: &str, iterations: usize) -> DenseCrfConfig {
    DenseCrfConfig { min_probability: case.constant(&format!("{below}clip")), ..config(case, below, iterations) }
}

// Every stored iteration `NAME_iterN`, and `NAME` itself at the last.
fn stored<'a>(case: &'a Fixture, name: &'a str) -> impl Iterator<Item = (String, usize)> + 'a {
    let last = if case.json["constants"]["iterations"].is_null() { 0 } else { case.count("iterations") };
    let names = (0..=20).map(move |i| (format!("{name}_iter{i}"), i)).chain([(name.to_string(), last)]);
    names.filter(|(name, _)| case.has(name))
}

#[test]
fn soft_unaries_are_the_released_ones() {
    for case in Fixture::with_prefix("crf_softmax") {
        for alpha in ["alpha4", "alpha24"] {
            let mut checked = 0;
            for (name, iterations) in stored(&case, &format!("q_{alpha}")) {
                let crf = DenseCrf::new(&case.raw("img"), &soft(&case, "", iterations)).unwrap();
                let q = crf.soft(&case.raw(&format!("prob_{alpha}"))).unwrap();
                check(&format!("{} {name}", case.name), &q, &case.raw(&name));
                checked += 1;
            }
            assert!(checked > 0, "{}: no beliefs of {alpha}", case.name);
            let crf = DenseCrf::new(&case.raw("img"), &soft(&case, "", case.count("iterations"))).unwrap();
            let labels = crf.refine_soft(&case.raw(&format!("prob_{alpha}"))).unwrap();
            check_labels(&case.name, &labels, &case.raw(&format!("argmax_{alpha}")));
        }
    }
}

#[test]
fn hard_labels_are_the_released_ones() {
    for case in Fixture::with_prefix("crf_label") {
        let (labels, num_labels) = (case.raw("labels"), case.count("n_labels"));
        let mut checked = 0;
        for (name, iterations) in stored(&case, "q") {
            let crf = DenseCrf::new(&case.raw("img"), &hard(&case, "", iterations)).unwrap();
            let q = crf.label_posterior(&labels, num_labels).unwrap();
            check(&format!("{} {name}", case.name), &q, &case.raw(&name));
            checked += 1;
        }
        assert!(checked > 0 || case.has("q_used"), "{}: no beliefs", case.name);
        let crf = DenseCrf::new(&case.raw("img"), &hard(&case, "", case.count("iterations"))).unwrap();
        check_labels(&case.name, &crf.refine_labels(&labels, num_labels).unwrap(), &case.raw("argmax"));
        if case.has("q_used") {
            let used: Vec<u32> = case.json["q_used_labels"]
                .as_array()
                .unwrap()
                .iter()
                .map(|label| label.as_u64().unwrap() as u32)
                .collect();
            let used = Tensor::new(used, labels.device()).unwrap();
            let q = crf.label_posterior(&labels, num_labels).unwrap().index_select(&used, 0).unwrap();
            check(&format!("{} q_used", case.name), &q, &case.raw("q_used"));
        }
    }
}

#[test]
fn thin_and_odd_images_are_the_released_ones() {
    for case in Fixture::own_with_prefix("lattice_") {
        let num_labels = case.count("n_labels");
        let mut checked = 0;
        for (name, iterations) in stored(&case, "q_hard") {
            let crf = DenseCrf::new(&case.raw("img"), &hard(&case, "hard.", iterations)).unwrap();
            let q = crf.label_posterior(&case.raw("labels"), num_labels).unwrap();
            let want = case.raw(&name);
            check(&format!("{} {name}", case.name), &q.narrow(0, 0, want.dim(0).unwrap()).unwrap(), &want);
            checked += 1;
        }
        assert!(checked > 0, "{}: no beliefs of hard", case.name);
        let mut checked = 0;
        for (name, iterations) in stored(&case, "q_soft") {
            let crf = DenseCrf::new(&case.raw("img"), &soft(&case, "soft.", iterations)).unwrap();
            let q = crf.soft(&case.raw("prob")).unwrap();
            let want = case.raw(&name);
            check(&format!("{} {name}", case.name), &q.narrow(0, 0, want.dim(0).unwrap()).unwrap(), &want);
            checked += 1;
        }
        assert!(checked > 0, "{}: no beliefs of soft", case.name);
    }
}
