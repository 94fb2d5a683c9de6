//! The class level.

use candle_core::Tensor;
use candle_wsss::prototype::class_rows;
use candle_wsss::regularizer::hsc::{BackgroundRow, BankOrder, ClassConfig, Level, class_level};
use candle_wsss::seed::label_softmax;
use candle_wsss::testing::gradient_error;
use candle_wsss::{Pair, PrototypeBank, Result};
use proptest::prelude::*;

use super::inputs::{
    FOREGROUND, Inputs, assert_near, assert_rows, best, check_finite, cross_entropy, dot, mixed, numbers, pixels, rows,
    total, unit, value, weighted_mean,
};

const SMALL: ClassConfig = ClassConfig {
    enabled: true,
    weight: 0.1,
    own: 0.5,
    mutual: 0.5,
    momentum: 0.3,
    temperature: 0.1,
    top_k: 12,
    high_k: 3,
    bank_order: BankOrder::WithinStep,
    background_row: BackgroundRow::Never,
};

fn level(inputs: &Inputs, config: &ClassConfig) -> Result<Level> {
    class_level(&inputs.features, &inputs.scores, &inputs.image_labels, &inputs.banks, config)
}

// The released loop: class after class, banks moved at once. Returns own, mutual and the banks.
fn naive(inputs: &Inputs, config: &ClassConfig) -> (f64, f64, [Vec<Vec<f64>>; 2]) {
    let weights = [&inputs.scores.source, &inputs.scores.target]
        .map(|scores| rows(&class_rows(&label_softmax(scores, &inputs.image_labels).unwrap()).unwrap()));
    let features = [pixels(&inputs.features.source), pixels(&inputs.features.target)];
    let mut banks = [rows(inputs.banks.source.rows()), rows(inputs.banks.target.rows())];
    let start = banks.clone();
    let present = inputs.image_labels.in_batch();
    let (mut own, mut mutual) = (0.0, 0.0);
    let mean = |view: usize, class: usize, k: usize| {
        let chosen = best(&weights[view][class], k);
        weighted_mean(&features[view], &weights[view][class], &chosen)
    };
    for &class in &present {
        let seen = if config.bank_order == BankOrder::WithinStep { &banks } else { &start };
        let contrast = |view: usize, bank: usize| {
            let anchor = mean(view, class, config.top_k);
            let mut logits: Vec<f64> =
                seen[bank].iter().map(|row| dot(&anchor, &unit(row)) / config.temperature).collect();
            if config.background_row == BackgroundRow::Excluded {
                logits.pop();
            }
            cross_entropy(&logits, class)
        };
        own += (contrast(0, 0) + contrast(1, 1)) / 2.0 / present.len() as f64;
        mutual += (contrast(0, 1) + contrast(1, 0)) / 2.0 / present.len() as f64;
        for view in 0..2 {
            banks[view][class] = mixed(&mean(view, class, config.high_k), &start[view][class], config.momentum);
        }
    }
    if config.background_row == BackgroundRow::Updated {
        for view in 0..2 {
            let fresh = mean(view, FOREGROUND, config.high_k);
            banks[view][FOREGROUND] = mixed(&fresh, &start[view][FOREGROUND], config.momentum);
        }
    }
    (own, mutual, banks)
}

#[test]
fn all_classes_at_once_are_the_loop() {
    for bank_order in [BankOrder::WithinStep, BankOrder::AfterStep] {
        for background_row in [BackgroundRow::Never, BackgroundRow::Updated, BackgroundRow::Excluded] {
            let inputs = Inputs::random(1, &[&[0, 2], &[2, 3], &[0]]);
            let config = ClassConfig { bank_order, background_row, ..SMALL };
            let got = level(&inputs, &config).unwrap();
            let (own, mutual, banks) = naive(&inputs, &config);
            assert_near("own", value(&got, "own"), own);
            assert_near("mutual", value(&got, "mutual"), mutual);
            assert_rows("source bank", got.banks.source.rows(), &banks[0]);
            assert_rows("target bank", got.banks.target.rows(), &banks[1]);
        }
    }
}

#[test]
fn the_order_of_the_bank_matters() {
    let inputs = Inputs::random(1, &[&[0, 2], &[2, 3], &[0]]);
    let within = level(&inputs, &SMALL).unwrap();
    let after = level(&inputs, &ClassConfig { bank_order: BankOrder::AfterStep, ..SMALL }).unwrap();
    assert!((value(&within, "own") - value(&after, "own")).abs() > 1e-4);
}

#[test]
fn gradient_is_the_numeric_one() {
    // Moved rows carry no gradient but do follow the features, so they must not move: a momentum of 1, or the old rows.
    let still = ClassConfig { momentum: 1.0, ..SMALL };
    let after = ClassConfig { bank_order: BankOrder::AfterStep, ..SMALL };
    let excluded = ClassConfig { background_row: BackgroundRow::Excluded, ..still.clone() };
    for config in [still, after, excluded] {
        let inputs = Inputs::random(2, &[&[0, 2], &[1, 2]]);
        let features = [inputs.features.source.clone(), inputs.features.target.clone()];
        let error = gradient_error(&features, 60, |x| {
            let features = Pair::new(x[0].clone(), x[1].clone());
            total(&class_level(&features, &inputs.scores, &inputs.image_labels, &inputs.banks, &config)?)
        });
        assert!(error.unwrap() < 1e-6);
    }
}

#[test]
fn equal_prototypes_leave_pure_chance() {
    let mut inputs = Inputs::random(3, &[&[1], &[3]]);
    let same = inputs.banks.source.rows().get(0).unwrap().unsqueeze(0).unwrap();
    inputs.banks = inputs.banks.map(|bank| PrototypeBank::from_rows(&same.broadcast_as(bank.rows().shape()).unwrap()));
    let config = ClassConfig { bank_order: BankOrder::AfterStep, ..SMALL };
    let got = level(&inputs, &config).unwrap();
    let chance = ((FOREGROUND + 1) as f64).ln();
    assert_near("own", value(&got, "own"), chance);
    assert_near("mutual", value(&got, "mutual"), chance);
    let got = level(&inputs, &ClassConfig { background_row: BackgroundRow::Excluded, ..config }).unwrap();
    assert_near("own", value(&got, "own"), (FOREGROUND as f64).ln());
}

#[test]
fn without_a_foreground_label_there_is_no_term_and_no_move() {
    let inputs = Inputs::random(4, &[&[], &[]]);
    let got = level(&inputs, &SMALL).unwrap();
    assert_eq!(got.terms.iter().len(), 0);
    let omitted: Vec<&str> = got.terms.omitted().iter().map(|term| term.name.as_str()).collect();
    assert_eq!(omitted, ["own", "mutual"]);
    assert_eq!(numbers(got.banks.source.rows()), numbers(inputs.banks.source.rows()));
    assert_eq!(numbers(got.banks.target.rows()), numbers(inputs.banks.target.rows()));
}

#[test]
fn fewer_pixels_than_asked_for_are_all_used() {
    let inputs = Inputs::random(5, &[&[0, 2]]);
    let more = level(&inputs, &ClassConfig { top_k: 1000, high_k: 1000, ..SMALL }).unwrap();
    let all = level(&inputs, &ClassConfig { top_k: 20, high_k: 20, ..SMALL }).unwrap();
    assert_near("own", value(&more, "own"), value(&all, "own"));
    assert_eq!(numbers(more.banks.source.rows()), numbers(all.banks.source.rows()));
}

#[test]
fn degenerate_batches_stay_finite() {
    for present in [&[&[0usize, 1][..]][..], &[&[0, 1, 2, 3]], &[&[], &[2]]] {
        let mut inputs = Inputs::random(6, present);
        let run = |inputs: &Inputs| {
            let zeros = inputs.features.as_ref().map(|f| f.zeros_like().unwrap());
            for features in [&inputs.features, &zeros] {
                let f = |f: &Pair<Tensor>| class_level(f, &inputs.scores, &inputs.image_labels, &inputs.banks, &SMALL);
                check_finite(features, f);
            }
        };
        run(&inputs);
        inputs.scores = inputs.scores.map(|scores| scores.zeros_like().unwrap());
        inputs.banks = inputs.banks.map(|bank| PrototypeBank::from_rows(&bank.rows().zeros_like().unwrap()));
        run(&inputs);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn swapping_the_views_swaps_the_banks_and_nothing_else(seed in any::<u64>()) {
        let one = level(&Inputs::random(seed, &[&[0, 2], &[1]]), &SMALL).unwrap();
        let two = level(&Inputs::random(seed, &[&[0, 2], &[1]]).swapped(), &SMALL).unwrap();
        for name in ["own", "mutual"] {
            assert_near(name, value(&two, name), value(&one, name));
        }
        prop_assert_eq!(numbers(one.banks.source.rows()), numbers(two.banks.target.rows()));
        prop_assert_eq!(numbers(one.banks.target.rows()), numbers(two.banks.source.rows()));
    }
}
