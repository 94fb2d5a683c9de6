//! The region level.

use candle_core::Tensor;
use candle_wsss::regularizer::hsc::{BankRows, Level, NormalizeAxis, RoiConfig, region_vectors, roi_level};
use candle_wsss::testing::gradient_error;
use candle_wsss::{Pair, PrototypeBank, Result};
use proptest::prelude::*;

use super::inputs::{Inputs, assert_near, assert_rows, check_finite, dot, mixed, numbers, rows, total, unit, value};

fn level(inputs: &Inputs, config: &RoiConfig) -> Result<Level> {
    roi_level(&inputs.features, &inputs.labels, inputs.layout(), &inputs.region_banks, config)
}

// Background and foreground vectors of every image.
fn naive_vectors(features: &Tensor, labels: &Tensor, background: usize, axis: NormalizeAxis) -> [Vec<Vec<f64>>; 2] {
    let (n, d, h, w) = features.dims4().unwrap();
    let f = numbers(features);
    let at = |i: usize, c: usize, y: usize, x: usize| f[((i * d + c) * h + y) * w + x];
    let normalised = |i: usize, c: usize, y: usize, x: usize| {
        let along: Vec<f64> = match axis {
            NormalizeAxis::Width => (0..w).map(|x| at(i, c, y, x)).collect(),
            NormalizeAxis::Channel => (0..d).map(|c| at(i, c, y, x)).collect(),
        };
        at(i, c, y, x) / dot(&along, &along).sqrt().max(1e-12)
    };
    let labels = numbers(labels);
    let vector = |i: usize, wants_background: bool| {
        let (mut sum, mut count) = (vec![0.0; d], 0.0);
        for y in 0..h {
            for x in 0..w {
                if (labels[(i * h + y) * w + x] == background as f64) == wants_background {
                    count += 1.0;
                    (0..d).for_each(|c| sum[c] += normalised(i, c, y, x));
                }
            }
        }
        let mean: Vec<f64> = sum.iter().map(|s| s / (count + 1e-5)).collect();
        let norm = dot(&mean, &mean).sqrt().max(1e-5);
        mean.iter().map(|m| m / norm).collect::<Vec<f64>>()
    };
    [true, false].map(|wants_background| (0..n).map(|i| vector(i, wants_background)).collect())
}

fn naive_dissimilarity(a: &[Vec<f64>], b: &[Vec<f64>]) -> f64 {
    let all = a.iter().flat_map(|a| b.iter().map(move |b| -(1.0 - dot(a, b).clamp(0.0005, 0.9995)).ln()));
    all.sum::<f64>() / (a.len() * b.len()) as f64
}

fn naive_alignment(a: &[Vec<f64>], target: &[f64]) -> f64 {
    let all = a.iter().flat_map(|a| a.iter().zip(target).map(|(a, t)| (t - a).abs()));
    all.sum::<f64>() / (a.len() * target.len()) as f64
}

#[test]
fn terms_and_banks_are_the_definition_written_out() {
    for (axis, bank_rows) in [(NormalizeAxis::Width, BankRows::Raw), (NormalizeAxis::Channel, BankRows::Unit)] {
        let inputs = Inputs::random(1, &[&[0, 2], &[1], &[2, 3]]);
        let config = RoiConfig { normalize_axis: axis, bank_rows, momentum: 0.3, ..RoiConfig::default() };
        let got = level(&inputs, &config).unwrap();
        let background = inputs.layout().background();
        let [b1, f1] = naive_vectors(&inputs.features.source, &inputs.labels.source, background, axis);
        let [b2, f2] = naive_vectors(&inputs.features.target, &inputs.labels.target, background, axis);
        let s = naive_dissimilarity;
        assert_near("intra", value(&got, "intra"), (s(&b1, &f1) + s(&b2, &f2)) / 2.0);
        assert_near("cross", value(&got, "cross"), (s(&b1, &f2) + s(&b2, &f1)) / 2.0);
        let [bank1, bank2] = [&inputs.region_banks.source, &inputs.region_banks.target].map(|bank| rows(bank.rows()));
        let compared = |row: &[f64]| if bank_rows == BankRows::Unit { unit(row) } else { row.to_vec() };
        let near = |vectors: [&Vec<Vec<f64>>; 2], row: usize| {
            let [one, two] = [compared(&bank1[row]), compared(&bank2[row])];
            (naive_alignment(vectors[0], &one) + naive_alignment(vectors[1], &two)) / 2.0
        };
        assert_near("background", value(&got, "background"), near([&b1, &b2], 0));
        assert_near("foreground", value(&got, "foreground"), near([&f1, &f2], 1));
        for (next, old, vectors) in [(&got.banks.source, &bank1, [b1, f1]), (&got.banks.target, &bank2, [b2, f2])] {
            let want: Vec<Vec<f64>> = vectors
                .iter()
                .zip(old)
                .map(|(vectors, old)| {
                    let mean = |c: usize| vectors.iter().map(|v| v[c]).sum::<f64>() / vectors.len() as f64;
                    mixed(&(0..old.len()).map(mean).collect::<Vec<f64>>(), old, 0.3)
                })
                .collect();
            assert_rows("bank", next.rows(), &want);
        }
    }
}

#[test]
fn gradient_is_the_numeric_one() {
    for normalize_axis in [NormalizeAxis::Width, NormalizeAxis::Channel] {
        let inputs = Inputs::random(2, &[&[0, 2], &[1]]);
        let config = RoiConfig { normalize_axis, ..RoiConfig::default() };
        let features = [inputs.features.source.clone(), inputs.features.target.clone()];
        let error = gradient_error(&features, 60, |x| {
            let features = Pair::new(x[0].clone(), x[1].clone());
            total(&roi_level(&features, &inputs.labels, inputs.layout(), &inputs.region_banks, &config)?)
        });
        assert!(error.unwrap() < 1e-6);
    }
}

#[test]
fn equal_regions_are_as_close_as_the_range_allows() {
    // One constant positive map: every region vector is the same.
    let mut inputs = Inputs::random(3, &[&[0], &[1, 2]]);
    inputs.features = inputs.features.map(|f| (f.zeros_like().unwrap() + 2.0).unwrap());
    let vectors =
        region_vectors(&inputs.features.source, &inputs.labels.source, inputs.layout(), &RoiConfig::default()).unwrap();
    inputs.region_banks = inputs.region_banks.map(|_| {
        let rows = [vectors.background.get(0).unwrap(), vectors.foreground.get(0).unwrap()];
        PrototypeBank::from_rows(&Tensor::stack(&rows, 0).unwrap())
    });
    let got = level(&inputs, &RoiConfig::default()).unwrap();
    let want = -(1.0 - 0.9995f64).ln();
    assert_near("intra", value(&got, "intra"), want);
    assert_near("cross", value(&got, "cross"), want);
    assert!(value(&got, "foreground") < 1e-12 && value(&got, "background") < 1e-12);
}

#[test]
fn degenerate_batches_stay_finite() {
    let config = RoiConfig::default();
    for present in [&[&[0usize, 1][..]][..], &[&[], &[]]] {
        let inputs = Inputs::random(4, present);
        let run = |f: &Pair<Tensor>| roi_level(f, &inputs.labels, inputs.layout(), &inputs.region_banks, &config);
        check_finite(&inputs.features, run);
        let zeros = inputs.features.as_ref().map(|f| f.zeros_like().unwrap());
        check_finite(&zeros, run);
    }
}

#[test]
fn an_empty_region_is_the_zero_vector() {
    let inputs = Inputs::random(5, &[&[], &[]]);
    let vectors =
        region_vectors(&inputs.features.source, &inputs.labels.source, inputs.layout(), &RoiConfig::default());
    assert!(numbers(&vectors.unwrap().foreground).iter().all(|x| *x == 0.0));
    // Cosine 0 is below the range.
    let got = level(&inputs, &RoiConfig::default()).unwrap();
    assert_near("intra", value(&got, "intra"), -(1.0 - 0.0005f64).ln());
}

#[test]
fn a_term_of_factor_0_is_not_there() {
    let config = RoiConfig { cross: 0.0, background: 0.0, ..RoiConfig::default() };
    let got = level(&Inputs::random(6, &[&[0], &[1]]), &config).unwrap();
    let names: Vec<&str> = got.terms.iter().map(|term| term.name.as_str()).collect();
    assert_eq!(names, ["intra", "foreground"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn swapping_the_views_swaps_the_banks_and_nothing_else(seed in any::<u64>()) {
        let config = RoiConfig::default();
        let one = level(&Inputs::random(seed, &[&[0, 2], &[1]]), &config).unwrap();
        let two = level(&Inputs::random(seed, &[&[0, 2], &[1]]).swapped(), &config).unwrap();
        for term in one.terms.iter() {
            assert_near(&term.name, value(&two, &term.name), value(&one, &term.name));
        }
        prop_assert_eq!(numbers(one.banks.source.rows()), numbers(two.banks.target.rows()));
        prop_assert_eq!(numbers(one.banks.target.rows()), numbers(two.banks.source.rows()));
    }
}
