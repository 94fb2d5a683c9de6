//! Dense CRF: golden lattice output, a naive oracle, collapse of absent labels, thread counts.

#![allow(clippy::unwrap_used, reason = "helpers of tests, which may panic")]

mod lattice;
mod properties;

use candle_core::{DType, Device, Tensor};
use candle_wsss::Pair;
use candle_wsss::ops::{CrfKernel, DenseCrf, DenseCrfConfig, refine_label_pair};
use candle_wsss::{Sampler, SeededSampler};

use crate::common::fixture::Fixture;

// The golden posterior comes from a lattice. Its sidecars say how far another exact implementation is from it at the end:
// ours must be just as far. Earlier iterations are only bounded.
const MAX_MEAN_DIFFERENCE: f64 = 1e-2;

fn check_distance(case: &Fixture, part: Option<&str>, agreement: f64, mean_difference: Option<f64>) {
    let stated = &case.json["exact_gaussian_vs_pydensecrf"];
    let stated = part.map_or(stated, |part| &stated[part]);
    let want = stated["argmax_agreement"].as_f64().unwrap();
    // Two pixels of rounding at the decision boundary, on the smallest image.
    assert!((agreement - want).abs() <= 2.0 / 256.0, "{}: agreement {agreement}, stated {want}", case.name);
    if let Some(got) = mean_difference {
        let want = stated["mean_abs_q"].as_f64().unwrap();
        assert!((got - want).abs() <= 0.02 * want + 1e-7, "{}: mean difference {got}, stated {want}", case.name);
    }
}

fn soft_config(case: &Fixture, iterations: usize) -> DenseCrfConfig {
    DenseCrfConfig {
        kernel: CrfKernel::Exact,
        iterations,
        min_probability: case.constant("clip"),
        gaussian_sxy: case.constant("gauss_sxy"),
        gaussian_compat: case.constant("gauss_compat"),
        bilateral_sxy: case.constant("bilateral_sxy"),
        bilateral_srgb: case.constant("bilateral_srgb"),
        bilateral_compat: case.constant("bilateral_compat"),
        ..DenseCrfConfig::seam_soft()
    }
}

fn hard_config(case: &Fixture, iterations: usize) -> DenseCrfConfig {
    DenseCrfConfig {
        kernel: CrfKernel::Exact,
        iterations,
        gt_prob: case.constant("gt_prob"),
        gaussian_sxy: case.constant("gauss_sxy"),
        gaussian_compat: case.constant("gauss_compat"),
        bilateral_sxy: case.constant("bilateral_sxy"),
        bilateral_srgb: case.constant("bilateral_srgb"),
        bilateral_compat: case.constant("bilateral_compat"),
        ..DenseCrfConfig::hsc_labels()
    }
}

fn mean_difference(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let b = b.to_dtype(DType::F32).unwrap();
    f64::from((a - b).unwrap().abs().unwrap().mean_all().unwrap().to_scalar::<f32>().unwrap())
}

fn flat(labels: &Tensor) -> Vec<u32> {
    labels.to_dtype(DType::U32).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn agreement(a: &Tensor, b: &Tensor) -> f64 {
    let (a, b) = (flat(a), flat(b));
    a.iter().zip(&b).filter(|(a, b)| a == b).count() as f64 / a.len() as f64
}

fn check_soft(case: &Fixture) {
    let image = case.raw("img");
    for alpha in ["alpha4", "alpha24"] {
        let probabilities = case.tensor(&format!("prob_{alpha}"));
        let full = case.count("iterations");
        let steps = [(Some(0), 0), (Some(1), 1), (Some(5), 5), (None, full)];
        for (suffix, iterations) in steps {
            let name = suffix.map_or_else(|| format!("q_{alpha}"), |i| format!("q_{alpha}_iter{i}"));
            if !case.has(&name) {
                continue;
            }
            let crf = DenseCrf::new(&image, &soft_config(case, iterations)).unwrap();
            let q = crf.soft(&probabilities).unwrap();
            let difference = mean_difference(&q, &case.raw(&name));
            assert!(difference < MAX_MEAN_DIFFERENCE, "{} {name}: mean difference {difference}", case.name);
            if iterations == 0 {
                assert!(difference < 1e-6, "{} {name}: mean difference {difference}", case.name);
            }
            if iterations == full {
                let labels = q.argmax(0).unwrap();
                let agreement = agreement(&labels, &case.raw(&format!("argmax_{alpha}")));
                check_distance(case, Some(alpha), agreement, Some(difference));
            }
        }
    }
}

#[test]
fn soft_unaries_agree_with_the_lattice() {
    Fixture::with_prefix("crf_softmax_small").iter().for_each(check_soft);
}

#[test]
fn soft_unaries_agree_with_the_lattice_on_a_larger_image() {
    Fixture::with_prefix("crf_softmax_large").iter().for_each(check_soft);
}

#[test]
fn hard_labels_agree_with_the_lattice() {
    for case in Fixture::with_prefix("crf_label") {
        let (image, labels) = (case.raw("img"), case.raw("labels"));
        let num_labels = case.count("n_labels");
        let full = case.count("iterations");
        let crf = DenseCrf::new(&image, &hard_config(&case, full)).unwrap();
        let refined = crf.refine_labels(&labels, num_labels).unwrap();
        let agreement = agreement(&refined, &case.raw("argmax"));
        check_distance(&case, None, agreement, None);
        if case.has("q") {
            let q = crf.label_posterior(&labels, num_labels).unwrap();
            check_distance(&case, None, agreement, Some(mean_difference(&q, &case.raw("q"))));
            assert_eq!(flat(&q.argmax(0).unwrap()), flat(&refined), "{}", case.name);
            let first = DenseCrf::new(&image, &hard_config(&case, 1)).unwrap();
            let q = first.label_posterior(&labels, num_labels).unwrap();
            assert!(mean_difference(&q, &case.raw("q_iter1")) < MAX_MEAN_DIFFERENCE, "{}", case.name);
        }
    }
}

// Random colours in a few shades, so that the bilateral kernel is neither 0 nor 1 everywhere.
fn image(seed: u64, n: usize, h: usize, w: usize) -> Tensor {
    let draws = SeededSampler::new(seed).uniform(n * h * w * 3).unwrap();
    let bytes: Vec<u8> = draws.iter().map(|u| (u * 12.0) as u8 * 3 + 100).collect();
    Tensor::from_vec(bytes, (n, h, w, 3), &Device::Cpu).unwrap()
}

fn labels(seed: u64, dims: &[usize], choices: &[u32]) -> Tensor {
    let draws = SeededSampler::new(seed).uniform(dims.iter().product()).unwrap();
    let labels: Vec<u32> = draws.iter().map(|u| choices[(u * choices.len() as f64) as usize]).collect();
    Tensor::from_vec(labels, dims, &Device::Cpu).unwrap()
}

// The definition, written out: two dense kernels, all labels, no tables.
fn naive(image: &Tensor, labels: &[u32], num_labels: usize, config: &DenseCrfConfig) -> Vec<f64> {
    let (h, w, _) = image.dims3().unwrap();
    let rgb = image.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let n = h * w;
    let distance = |i: usize, j: usize| {
        let d = |a: usize, b: usize| (a as f64 - b as f64).powi(2);
        let space = d(i % w, j % w) + d(i / w, j / w);
        let colour: f64 = (0..3).map(|c| d(rgb[i * 3 + c].into(), rgb[j * 3 + c].into())).sum();
        (space, colour)
    };
    let normalised = |k: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        let sums: Vec<f64> = (0..n).map(|i| (0..n).map(|j| k(i, j)).sum()).collect();
        (0..n * n).map(|ij| k(ij / n, ij % n) / (sums[ij / n] * sums[ij % n]).sqrt()).collect()
    };
    let gaussian = normalised(&|i, j| (-distance(i, j).0 / (2.0 * config.gaussian_sxy.powi(2))).exp());
    let bilateral = normalised(&|i, j| {
        let (space, colour) = distance(i, j);
        (-space / (2.0 * config.bilateral_sxy.powi(2)) - colour / (2.0 * config.bilateral_srgb.powi(2))).exp()
    });
    let unary = |i: usize, l: usize| {
        if labels[i] as usize == l {
            config.gt_prob.ln()
        } else {
            ((1.0 - config.gt_prob) / (num_labels - 1) as f64).ln()
        }
    };
    let softmax = |scores: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
        (0..n)
            .flat_map(|i| {
                let e: Vec<f64> = (0..num_labels).map(|l| scores(i, l).exp()).collect();
                let sum: f64 = e.iter().sum();
                e.into_iter().map(move |e| e / sum)
            })
            .collect()
    };
    let mut q = softmax(&unary);
    for _ in 0..config.iterations {
        q = softmax(&|i, l| {
            let message = |k: &[f64]| (0..n).map(|j| k[i * n + j] * q[j * num_labels + l]).sum::<f64>();
            unary(i, l) + config.gaussian_compat * message(&gaussian) + config.bilateral_compat * message(&bilateral)
        });
    }
    q
}

#[test]
fn posterior_is_the_definition_written_out() {
    let config =
        DenseCrfConfig { kernel: CrfKernel::Exact, iterations: 3, bilateral_srgb: 9.0, ..DenseCrfConfig::hsc_labels() };
    let image = image(1, 1, 5, 6).get(0).unwrap();
    let labels = labels(2, &[5, 6], &[0, 3]);
    let want = naive(&image, &flat(&labels), 5, &config);
    let got = DenseCrf::new(&image, &config).unwrap().label_posterior(&labels, 5).unwrap();
    let got = got.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (i, got) in got.iter().enumerate() {
        let want = want[i % 30 * 5 + i / 30];
        assert!((f64::from(*got) - want).abs() < 1e-6, "{i}: got {got}, want {want}");
    }
}

#[test]
fn collapsing_absent_labels_changes_nothing() {
    let config = DenseCrfConfig { kernel: CrfKernel::Exact, bilateral_srgb: 20.0, ..DenseCrfConfig::hsc_labels() };
    let (h, w, num_labels) = (9, 7, 12);
    let image = image(3, 1, h, w).get(0).unwrap();
    let labels = labels(4, &[h, w], &[2, 5, 11]);
    let crf = DenseCrf::new(&image, &config).unwrap();
    let mut probabilities = vec![(1.0 - config.gt_prob) / (num_labels - 1) as f64; num_labels * h * w];
    for (pixel, label) in flat(&labels).into_iter().enumerate() {
        probabilities[label as usize * h * w + pixel] = config.gt_prob;
    }
    // Maps that differ by nothing that matters are not taken for one.
    probabilities.iter_mut().enumerate().for_each(|(i, p)| *p *= 1.0 + (i / (h * w)) as f64 * 1e-12);
    let probabilities = Tensor::from_vec(probabilities, (num_labels, h, w), &Device::Cpu).unwrap();
    let all = crf.soft(&probabilities).unwrap();
    let collapsed = crf.label_posterior(&labels, num_labels).unwrap();
    candle_wsss::testing::assert_close("posterior", &collapsed, &all, 1e-6).unwrap();
    assert_eq!(flat(&crf.refine_labels(&labels, num_labels).unwrap()), flat(&all.argmax(0).unwrap()));
}

#[test]
fn a_pair_of_views_is_refined_as_each_alone() {
    let config = DenseCrfConfig::hsc_labels();
    let images = image(5, 3, 8, 8);
    let pair = Pair::new(labels(6, &[3, 8, 8], &[1, 4]), labels(7, &[3, 8, 8], &[0, 4, 2]));
    let refined = refine_label_pair(&images, &pair, 5, &config).unwrap();
    for (refined, labels) in [(&refined.source, &pair.source), (&refined.target, &pair.target)] {
        for i in 0..3 {
            let crf = DenseCrf::new(&images.get(i).unwrap(), &config).unwrap();
            let alone = crf.refine_labels(&labels.get(i).unwrap(), 5).unwrap();
            assert_eq!(flat(&refined.get(i).unwrap()), flat(&alone), "image {i}");
        }
    }
}

#[test]
fn threads_and_blocks_change_no_bit() {
    // 36 x 36 pixels have more pairs than are kept, 20 x 20 fewer.
    for (h, w) in [(20, 20), (36, 36)] {
        let image = image(8, 1, h, w).get(0).unwrap();
        let labels = labels(9, &[h, w], &[0, 1, 2]);
        for kernel in [CrfKernel::Lattice, CrfKernel::Exact] {
            let config = DenseCrfConfig { kernel, iterations: 3, ..DenseCrfConfig::hsc_labels() };
            let run = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let q = pool.install(|| DenseCrf::new(&image, &config).unwrap().label_posterior(&labels, 4).unwrap());
                q.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            assert_eq!(run(1), run(3));
        }
    }
}

#[test]
fn an_unlikely_given_label_loses_to_the_lowest_of_the_others() {
    // Below 1 / num_labels, "given" means "least likely", and the absent labels tie.
    let config = DenseCrfConfig { gt_prob: 0.05, iterations: 0, ..DenseCrfConfig::hsc_labels() };
    let crf = DenseCrf::new(&Tensor::zeros((2, 2, 3), DType::U8, &Device::Cpu).unwrap(), &config).unwrap();
    let labels = Tensor::zeros((2, 2), DType::U32, &Device::Cpu).unwrap();
    assert_eq!(flat(&crf.refine_labels(&labels, 4).unwrap()), vec![1; 4]);
}

#[test]
fn wrong_inputs_are_named() {
    let image = Tensor::zeros((2, 3, 3), DType::U8, &Device::Cpu).unwrap();
    let crf = DenseCrf::new(&image, &DenseCrfConfig::default()).unwrap();
    let labels = Tensor::full(7u32, (2, 3), &Device::Cpu).unwrap();
    let message = crf.refine_labels(&labels, 5).unwrap_err().to_string();
    assert_eq!(message, "crf labels: must be below 5, one is 7");
    assert!(crf.refine_labels(&labels.t().unwrap(), 8).is_err());
    assert!(crf.soft(&labels).is_err());
    for (config, field) in [
        (DenseCrfConfig { gt_prob: 1.0, ..DenseCrfConfig::default() }, "gt_prob"),
        (DenseCrfConfig { gaussian_sxy: 0.0, ..DenseCrfConfig::default() }, "gaussian_sxy"),
        (DenseCrfConfig { bilateral_compat: -1.0, ..DenseCrfConfig::default() }, "bilateral_compat"),
        (DenseCrfConfig { bilateral_srgb: f64::NAN, ..DenseCrfConfig::default() }, "bilateral_srgb"),
        (DenseCrfConfig { min_probability: 0.0, ..DenseCrfConfig::default() }, "min_probability"),
    ] {
        let message = DenseCrf::new(&image, &config).unwrap_err().to_string();
        assert!(message.contains(&format!("`{field}`")), "{message}");
    }
}
