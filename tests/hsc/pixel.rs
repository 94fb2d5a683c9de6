//! The pixel level.

use candle_core::{DType, Tensor};
use candle_wsss::prototype::class_rows;
use candle_wsss::regularizer::hsc::{
    AbsentClasses, BackgroundPrototype, BankRows, Level, PixelConfig, pixel_level, step_prototypes,
};
use candle_wsss::testing::gradient_error;
use candle_wsss::{Pair, PrototypeBank, Result};
use proptest::prelude::*;

use super::inputs::{
    FOREGROUND, Inputs, assert_near, assert_rows, best, check_finite, cross_entropy, dot, mixed, numbers, pixels, rows,
    total, unit, value, weighted_mean,
};

// Maps have 20 pixels: 5 of the batch make a prototype.
fn small() -> PixelConfig {
    PixelConfig { pixels_per_prototype_divisor: 4, momentum: 0.3, ..PixelConfig::default() }
}

fn level(inputs: &Inputs, config: &PixelConfig) -> Result<Level> {
    pixel_level(&inputs.features, &inputs.scores, &inputs.labels, &inputs.image_labels, &inputs.banks, config)
}

fn naive_prototypes(inputs: &Inputs, features: &Tensor, scores: &Tensor, config: &PixelConfig) -> Vec<Vec<f64>> {
    let features = pixels(features);
    let mut scores = rows(&class_rows(scores).unwrap());
    if config.background_prototype == BackgroundPrototype::OneMinusMax {
        let image_pixels = features.len() / inputs.image_labels.len();
        let complement = |pixel: usize| {
            let present = inputs.image_labels.of_image(pixel / image_pixels);
            let class_score = |class: usize| if present.contains(&class) { scores[class][pixel] } else { 0.0 };
            1.0 - (0..FOREGROUND).map(class_score).fold(f64::NEG_INFINITY, f64::max)
        };
        scores[FOREGROUND] = (0..features.len()).map(complement).collect();
    }
    scores.iter().map(|scores| weighted_mean(&features, scores, &best(scores, 5))).collect()
}

fn naive_contrast(
    inputs: &Inputs,
    features: &Tensor,
    prototypes: &[Vec<f64>],
    labels: &Tensor,
    config: &PixelConfig,
) -> f64 {
    let labels = numbers(labels);
    let pixels = pixels(features);
    let takes_part = |class: usize, own: usize| {
        config.absent_classes == AbsentClasses::Included
            || class == own
            || class == FOREGROUND
            || inputs.image_labels.in_batch().contains(&class)
    };
    let losses = pixels.iter().zip(&labels).map(|(pixel, label)| {
        let own = *label as usize;
        let kept: Vec<usize> = (0..=FOREGROUND).filter(|class| takes_part(*class, own)).collect();
        let logits: Vec<f64> =
            kept.iter().map(|class| dot(&unit(pixel), &prototypes[*class]) / config.temperature).collect();
        cross_entropy(&logits, kept.iter().position(|class| *class == own).unwrap())
    });
    losses.sum::<f64>() / pixels.len() as f64
}

fn check_against_the_definition(inputs: &Inputs, config: &PixelConfig) {
    let got = level(inputs, config).unwrap();
    let [f1, f2] = [&inputs.features.source, &inputs.features.target];
    let [t1, t2] = [&inputs.labels.source, &inputs.labels.target];
    let p1 = naive_prototypes(inputs, f1, &inputs.scores.source, config);
    let p2 = naive_prototypes(inputs, f2, &inputs.scores.target, config);
    let x = |f: &Tensor, p: &[Vec<f64>], t: &Tensor| naive_contrast(inputs, f, p, t, config);
    assert_near("cross prototype", value(&got, "cross_prototype"), (x(f1, &p2, t1) + x(f2, &p1, t2)) / 2.0);
    assert_near("cross label", value(&got, "cross_label"), (x(f1, &p1, t2) + x(f2, &p2, t1)) / 2.0);
    assert_near("intra", value(&got, "intra"), (x(f1, &p1, t1) + x(f2, &p2, t2)) / 2.0);
    let [m1, m2] = [rows(inputs.banks.source.rows()), rows(inputs.banks.target.rows())];
    let compared = |bank: &[Vec<f64>]| -> Vec<Vec<f64>> {
        if config.bank_rows == BankRows::Unit { bank.iter().map(|row| unit(row)).collect() } else { bank.to_vec() }
    };
    let memory = (x(f1, &compared(&m1), t1) + x(f2, &compared(&m2), t2)) / 2.0;
    assert_near("memory", value(&got, "memory"), memory);
    for (next, old, fresh) in [(&got.banks.source, &m1, &p1), (&got.banks.target, &m2, &p2)] {
        let moves = |class: usize| {
            config.absent_classes == AbsentClasses::Included
                || class == FOREGROUND
                || inputs.image_labels.in_batch().contains(&class)
        };
        let want: Vec<Vec<f64>> = (0..=FOREGROUND)
            .map(|c| if moves(c) { mixed(&fresh[c], &old[c], config.momentum) } else { old[c].clone() })
            .collect();
        assert_rows("bank", next.rows(), &want);
    }
}

#[test]
fn terms_and_banks_are_the_definition_written_out() {
    let inputs = Inputs::random(1, &[&[0, 2], &[2], &[0]]);
    check_against_the_definition(&inputs, &small());
    check_against_the_definition(&inputs, &PixelConfig { absent_classes: AbsentClasses::Excluded, ..small() });
    let background_prototype = BackgroundPrototype::OneMinusMax;
    check_against_the_definition(&inputs, &PixelConfig { background_prototype, ..small() });
    check_against_the_definition(&inputs, &PixelConfig { bank_rows: BankRows::Unit, ..small() });
}

#[test]
fn a_class_without_activation_points_away_from_its_pixels() {
    // An all-zero map scores -1 everywhere, which turns the mean round: so it does in the released code.
    let mut inputs = Inputs::random(7, &[&[0, 2], &[2], &[0]]);
    inputs.scores = inputs.scores.map(|scores| {
        let dead = (scores.narrow(1, 1, 1).unwrap().zeros_like().unwrap() - 1.0).unwrap();
        let rest = scores.narrow(1, 2, FOREGROUND - 1).unwrap();
        Tensor::cat(&[&scores.narrow(1, 0, 1).unwrap(), &dead, &rest], 1).unwrap()
    });
    check_against_the_definition(&inputs, &small());
}

#[test]
fn a_label_no_image_has_still_counts_for_its_own_pixels() {
    let mut inputs = Inputs::random(8, &[&[0, 2], &[2]]);
    inputs.labels.source = inputs.labels.source.ones_like().unwrap();
    check_against_the_definition(&inputs, &PixelConfig { absent_classes: AbsentClasses::Excluded, ..small() });
}

#[test]
fn gradient_is_the_numeric_one() {
    for config in [small(), PixelConfig { absent_classes: AbsentClasses::Excluded, ..small() }] {
        let inputs = Inputs::random(2, &[&[0, 2], &[1, 2]]);
        // Prototypes carry no gradient: hold them fixed while features move, by taking the memory term and, for the
        // others, the analytic gradient of features against frozen prototypes.
        let frozen = inputs.features.as_ref().zip(inputs.scores.as_ref()).try_map(|(f, s)| {
            step_prototypes(f, s, &inputs.image_labels, &config).map(|p| PrototypeBank::from_rows(&p))
        });
        let frozen = frozen.unwrap();
        let only_memory = PixelConfig { intra: 0.0, cross_prototype: 0.0, cross_label: 0.0, ..config.clone() };
        for banks in [&inputs.banks, &frozen, &frozen.clone().swapped()] {
            let features = [inputs.features.source.clone(), inputs.features.target.clone()];
            let error = gradient_error(&features, 60, |x| {
                let features = Pair::new(x[0].clone(), x[1].clone());
                let (scores, labels) = (&inputs.scores, &inputs.labels);
                total(&pixel_level(&features, scores, labels, &inputs.image_labels, banks, &only_memory)?)
            });
            assert!(error.unwrap() < 1e-6);
        }
    }
}

#[test]
fn no_gradient_reaches_the_prototypes() {
    // With the step's prototypes in the bank, the memory term is the intra term, in value and in gradient.
    let inputs = Inputs::random(3, &[&[0, 2], &[1]]);
    let fresh = inputs.features.as_ref().zip(inputs.scores.as_ref());
    let fresh = fresh.try_map(|(f, s)| step_prototypes(f, s, &inputs.image_labels, &small())).unwrap();
    let banks = fresh.map(|p| PrototypeBank::from_rows(&p));
    let var = candle_core::Var::from_tensor(&inputs.features.source).unwrap();
    let features = Pair::new(var.as_tensor().clone(), inputs.features.target.clone());
    let got = pixel_level(&features, &inputs.scores, &inputs.labels, &inputs.image_labels, &banks, &small()).unwrap();
    assert_near("value", value(&got, "intra"), value(&got, "memory"));
    let gradient = |name: &str| {
        let gradients = got.terms.get(name).unwrap().value.backward().unwrap();
        numbers(gradients.get(&var).unwrap())
    };
    assert_eq!(gradient("intra"), gradient("memory"));
}

#[test]
fn equal_features_leave_pure_chance() {
    let mut inputs = Inputs::random(4, &[&[0, 2], &[1]]);
    inputs.features = inputs.features.map(|f| (f.zeros_like().unwrap() + 1.0).unwrap());
    // Positive scores, so that no prototype points the other way.
    inputs.scores = inputs.scores.map(|s| (s.zeros_like().unwrap() + 0.5).unwrap());
    let same = inputs.banks.source.rows().get(1).unwrap().unsqueeze(0).unwrap();
    inputs.banks = inputs.banks.map(|bank| PrototypeBank::from_rows(&same.broadcast_as(bank.rows().shape()).unwrap()));
    let got = level(&inputs, &small()).unwrap();
    for name in ["cross_prototype", "cross_label", "intra", "memory"] {
        assert_near(name, value(&got, name), ((FOREGROUND + 1) as f64).ln());
    }
}

#[test]
fn degenerate_batches_stay_finite() {
    for config in [small(), PixelConfig { absent_classes: AbsentClasses::Excluded, ..small() }] {
        for present in [&[&[0usize, 1][..]][..], &[&[], &[]], &[&[0, 1, 2, 3], &[2]]] {
            let mut inputs = Inputs::random(5, present);
            for stretch in [1.0, 0.0, 1e3] {
                inputs.banks = inputs.banks.map(|bank| PrototypeBank::from_rows(&(bank.rows() * stretch).unwrap()));
                check_finite(&inputs.features, |f| {
                    pixel_level(f, &inputs.scores, &inputs.labels, &inputs.image_labels, &inputs.banks, &config)
                });
            }
            inputs.scores = inputs.scores.map(|scores| scores.zeros_like().unwrap());
            level(&inputs, &config).unwrap();
        }
    }
}

#[test]
fn float32_survives_logits_far_apart() {
    // exp(-logit gap) underflows float32: the quotient form has no gradient left here.
    let inputs = Inputs::random(6, &[&[0, 2], &[1]]);
    let single = |t: &Tensor| t.to_dtype(DType::F32).unwrap();
    let banks = inputs.banks.as_ref().map(|bank| PrototypeBank::from_rows(&single(&(bank.rows() * 30.0).unwrap())));
    let var = candle_core::Var::from_tensor(&single(&inputs.features.source)).unwrap();
    let features = Pair::new(var.as_tensor().clone(), single(&inputs.features.target));
    let scores = inputs.scores.as_ref().map(single);
    let got = pixel_level(&features, &scores, &inputs.labels, &inputs.image_labels, &banks, &small()).unwrap();
    let memory = &got.terms.get("memory").unwrap().value;
    assert!(memory.to_scalar::<f32>().unwrap() > 87.0);
    let gradient = numbers(memory.backward().unwrap().get(&var).unwrap());
    assert!(gradient.iter().all(|g| g.is_finite()) && gradient.iter().any(|g| g.abs() > 0.1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn swapping_the_views_swaps_the_banks_and_nothing_else(seed in any::<u64>()) {
        let one = level(&Inputs::random(seed, &[&[0, 2], &[1]]), &small()).unwrap();
        let two = level(&Inputs::random(seed, &[&[0, 2], &[1]]).swapped(), &small()).unwrap();
        for term in one.terms.iter() {
            assert_near(&term.name, value(&two, &term.name), value(&one, &term.name));
        }
        prop_assert_eq!(numbers(one.banks.source.rows()), numbers(two.banks.target.rows()));
        prop_assert_eq!(numbers(one.banks.target.rows()), numbers(two.banks.source.rows()));
    }
}
