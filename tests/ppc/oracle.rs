//! Every term, written out in plain loops.

use candle_core::Tensor;
use candle_wsss::regularizer::hsc::{AbsentClasses, BackgroundPrototype, PixelConfig, pixel_level, step_prototypes};
use candle_wsss::regularizer::ppc::{
    PixelSampling, PositiveRank, PpcConfig, PrototypeMining, SemiHardRanks, SmallClasses,
};
use candle_wsss::{Pair, PrototypeBank, Sampler, SeededSampler};

use super::inputs::{DRAWS, FOREGROUND, Inputs, assert_near, descending, dot, numbers, pixels, small, unit, value};

const PRESENT: &[&[usize]] = &[&[0, 2], &[2], &[0]];

struct NaiveView {
    pixels: Vec<Vec<f64>>,
    prototypes: Vec<Vec<f64>>,
    targets: Vec<usize>,
}

fn naive_views(inputs: &Inputs, config: &PpcConfig) -> Pair<NaiveView> {
    let seeds = inputs.seeds(config);
    let views = inputs.features.as_ref().zip(seeds.scores.as_ref()).zip(seeds.labels.as_ref());
    views.map(|((features, scores), labels)| NaiveView {
        pixels: pixels(features).iter().map(|pixel| unit(pixel)).collect(),
        prototypes: naive_prototypes(inputs, features, scores, config),
        targets: numbers(labels).into_iter().map(|class| class as usize).collect(),
    })
}

fn naive_prototypes(inputs: &Inputs, features: &Tensor, scores: &Tensor, config: &PpcConfig) -> Vec<Vec<f64>> {
    let features = pixels(features);
    let mut scores = pixels(scores);
    let per_image = features.len() / inputs.labels.len();
    if config.background_prototype == BackgroundPrototype::OneMinusMax {
        for (pixel, scores) in scores.iter_mut().enumerate() {
            let present = inputs.labels.of_image(pixel / per_image);
            let score = |class: usize| if present.contains(&class) { scores[class] } else { 0.0 };
            scores[FOREGROUND] = 1.0 - (0..FOREGROUND).map(score).fold(f64::NEG_INFINITY, f64::max);
        }
    }
    let prototype = |class: usize| {
        let scores: Vec<f64> = scores.iter().map(|pixel| pixel[class]).collect();
        let best = &descending(&scores)[..per_image / config.pixels_per_prototype_divisor];
        let weight: f64 = best.iter().map(|pixel| scores[*pixel]).sum();
        let mean = |d: usize| best.iter().map(|pixel| scores[*pixel] * features[*pixel][d] / weight).sum();
        unit(&(0..features[0].len()).map(mean).collect::<Vec<f64>>())
    };
    (0..=FOREGROUND).map(prototype).collect()
}

fn candidates(inputs: &Inputs, config: &PpcConfig) -> Vec<usize> {
    let takes_part = |class: &usize| {
        config.absent_classes == AbsentClasses::Included
            || *class == FOREGROUND
            || inputs.labels.in_batch().contains(class)
    };
    (0..=FOREGROUND).filter(takes_part).collect()
}

// `-ln` of the quotient, over `negatives` and the own class.
fn quotient(logits: &[f64], own: usize, negatives: &[usize]) -> f64 {
    let sum: f64 = logits[own].exp() + negatives.iter().map(|class| logits[*class].exp()).sum::<f64>();
    -(logits[own].exp() / sum).ln()
}

fn logits(pixel: &[f64], prototypes: &[Vec<f64>], config: &PpcConfig) -> Vec<f64> {
    prototypes.iter().map(|prototype| dot(pixel, prototype) / config.temperature).collect()
}

fn naive_cross(
    inputs: &Inputs,
    view: &NaiveView,
    prototypes: &[Vec<f64>],
    targets: &[usize],
    config: &PpcConfig,
) -> f64 {
    let classes = candidates(inputs, config);
    let losses = view.pixels.iter().zip(targets).map(|(pixel, own)| {
        let others: Vec<usize> = classes.iter().copied().filter(|class| class != own).collect();
        quotient(&logits(pixel, prototypes, config), *own, &others)
    });
    losses.sum::<f64>() / targets.len() as f64
}

fn naive_negatives(inputs: &Inputs, logits: &[f64], own: usize, config: &PpcConfig) -> Vec<usize> {
    let classes = candidates(inputs, config);
    let PrototypeMining::SemiHard(SemiHardRanks { dropped, last_rank }) = config.mining else {
        return classes.into_iter().filter(|class| *class != own).collect();
    };
    let is_ranked = |class: &usize| config.positive_rank == PositiveRank::Ranked || *class != own;
    let ranked: Vec<usize> = descending(logits).into_iter().filter(|c| classes.contains(c) && is_ranked(c)).collect();
    ranked.into_iter().take(last_rank).skip(dropped).collect()
}

fn naive_intra(inputs: &Inputs, view: &NaiveView, scope: &str, config: &PpcConfig) -> f64 {
    let logits: Vec<Vec<f64>> = view.pixels.iter().map(|pixel| logits(pixel, &view.prototypes, config)).collect();
    let losses: Vec<f64> = logits
        .iter()
        .zip(&view.targets)
        .map(|(logits, own)| quotient(logits, *own, &naive_negatives(inputs, logits, *own, config)))
        .collect();
    if config.sampling == PixelSampling::All {
        return losses.iter().sum::<f64>() / losses.len() as f64;
    }
    let similarity: Vec<f64> = logits.iter().zip(&view.targets).map(|(logits, own)| logits[*own]).collect();
    let (mut sum, mut present, mut counted) = (0.0, 0.0, 0.0);
    for class in 0..=FOREGROUND {
        let members: Vec<usize> = (0..losses.len()).filter(|pixel| view.targets[*pixel] == class).collect();
        let mut of_class: Vec<f64> = members.iter().map(|pixel| losses[*pixel]).collect();
        if members.is_empty() {
            continue;
        }
        present += 1.0;
        if let PixelSampling::HardHalf { hard_fraction } = config.sampling {
            let half = members.len() / 2;
            if half == 0 {
                continue;
            }
            let key = SeededSampler::new(DRAWS).fork(scope).hash_key().unwrap();
            let mut chosen: Vec<usize> = (0..members.len()).collect();
            chosen.sort_by_key(|position| key.draw(class as u32, *position as u32));
            chosen.truncate(half);
            let distance: Vec<f64> = members.iter().map(|pixel| -similarity[*pixel]).collect();
            let hard = (members.len() as f64 * hard_fraction) as usize;
            chosen.extend_from_slice(&descending(&distance)[hard - half..hard]);
            of_class = chosen.iter().map(|position| losses[members[*position]]).collect();
        }
        counted += 1.0;
        sum += of_class.iter().sum::<f64>() / of_class.len() as f64;
    }
    sum / if config.small_classes == SmallClasses::Counted { present } else { counted }
}

fn check_against_the_definition(inputs: &Inputs, config: &PpcConfig) {
    let got = inputs.evaluate(config).unwrap();
    let Pair { source, target } = &naive_views(inputs, config);
    let x = |view: &NaiveView, prototypes: &NaiveView, targets: &NaiveView| {
        naive_cross(inputs, view, &prototypes.prototypes, &targets.targets, config)
    };
    let want = (x(source, target, source) + x(target, source, target)) / 2.0;
    assert_near("cross prototype", value(&got, "cross_prototype"), want);
    let want = (x(source, source, target) + x(target, target, source)) / 2.0;
    assert_near("cross label", value(&got, "cross_label"), want);
    let within = |view: &NaiveView, scope: &str| naive_intra(inputs, view, scope, config);
    let want = (within(source, "intra/source") + within(target, "intra/target")) / 2.0;
    assert_near("intra", value(&got, "intra"), want);
}

#[test]
fn terms_are_the_definition_written_out() {
    for seed in 0..3 {
        let inputs = Inputs::random(seed, PRESENT);
        check_against_the_definition(&inputs, &small());
        for option in [
            PpcConfig { absent_classes: AbsentClasses::Excluded, ..small() },
            PpcConfig { background_prototype: BackgroundPrototype::OneMinusMax, ..small() },
            PpcConfig { positive_rank: PositiveRank::Excluded, ..small() },
            PpcConfig { absent_classes: AbsentClasses::Excluded, positive_rank: PositiveRank::Excluded, ..small() },
            PpcConfig { mining: PrototypeMining::All, ..small() },
            PpcConfig { mining: PrototypeMining::SemiHard(SemiHardRanks { dropped: 3, last_rank: 13 }), ..small() },
            PpcConfig { sampling: PixelSampling::EachClass, ..small() },
            PpcConfig { sampling: PixelSampling::All, ..small() },
            PpcConfig { small_classes: SmallClasses::LeftOut, ..small() },
        ] {
            check_against_the_definition(&inputs, &option);
        }
    }
}

/// Maps in which class 2 wins exactly one pixel of the batch, in the first view only.
fn with_a_pixel_of_its_own() -> Inputs {
    let mut inputs = Inputs::random(21, &[&[2], &[0]]);
    let (_, classes, h, w) = inputs.cams.source.dims4().unwrap();
    let mut spot = vec![0.0; classes * h * w];
    spot[2 * h * w + 7] = 1.0;
    let spot = Tensor::from_vec(spot, (1, classes, h, w), inputs.cams.source.device()).unwrap();
    inputs.cams.source = Tensor::cat(&[&spot, &inputs.cams.source.narrow(0, 1, 1).unwrap()], 0).unwrap();
    inputs
}

#[test]
fn a_class_of_one_pixel_counts_or_is_left_out() {
    let inputs = with_a_pixel_of_its_own();
    let labels = numbers(&inputs.seeds(&small()).labels.source);
    assert_eq!(labels.iter().filter(|class| **class == 2.0).count(), 1);
    let left_out = PpcConfig { small_classes: SmallClasses::LeftOut, ..small() };
    check_against_the_definition(&inputs, &small());
    check_against_the_definition(&inputs, &left_out);
    let intra = |config: &PpcConfig| value(&inputs.evaluate(config).unwrap(), "intra");
    assert!(intra(&small()) < intra(&left_out));
    // Where nothing is drawn, one pixel is enough.
    check_against_the_definition(&inputs, &PpcConfig { sampling: PixelSampling::EachClass, ..small() });
}

#[test]
fn without_mining_and_sampling_it_is_the_pixel_level_of_hsc() {
    let inputs = Inputs::random(5, PRESENT);
    let config = PpcConfig { mining: PrototypeMining::All, sampling: PixelSampling::All, ..small() };
    let divisor = config.pixels_per_prototype_divisor;
    let like = PixelConfig { memory: 0.0, pixels_per_prototype_divisor: divisor, ..PixelConfig::default() };
    let seeds = inputs.seeds(&config);
    let fresh = step_prototypes(&inputs.features.source, &seeds.scores.source, &inputs.labels, &like).unwrap();
    let bank = PrototypeBank::from_rows(&fresh);
    let banks = Pair::new(bank.clone(), bank);
    let want = pixel_level(&inputs.features, &seeds.scores, &seeds.labels, &inputs.labels, &banks, &like).unwrap();
    assert_eq!(inputs.evaluate(&config).unwrap().terms.scalars().unwrap(), want.terms.scalars().unwrap());
}

#[test]
fn factors_and_weight_are_those_of_the_configuration() {
    let inputs = Inputs::random(6, PRESENT);
    let config = PpcConfig { weight: 0.5, cross_prototype: 2.0, cross_label: 0.0, intra: 3.0, ..small() };
    let terms = inputs.evaluate(&config).unwrap().terms;
    let weights: Vec<(&str, f64)> = terms.iter().map(|term| (term.name.as_str(), term.weight)).collect();
    assert_eq!(weights, [("cross_prototype", 1.0), ("intra", 1.5)]);
}

#[test]
fn maps_of_any_size_are_brought_to_the_grid() {
    let inputs = Inputs::random(7, PRESENT);
    let at = |size: (usize, usize)| {
        let config = PpcConfig { grid: size, ..small() };
        let resize =
            |map: &Tensor| candle_wsss::ops::resize_bilinear(map, size, candle_wsss::ops::Corners::Aligned).unwrap();
        let resized = Inputs {
            features: inputs.features.as_ref().map(resize),
            cams: inputs.cams.as_ref().map(resize),
            labels: inputs.labels.clone(),
        };
        let terms = |inputs: &Inputs| inputs.evaluate(&config).unwrap().terms.scalars().unwrap();
        assert_eq!(terms(&inputs), terms(&resized));
    };
    at((6, 4));
    at((2, 3));
}

#[test]
fn swapping_the_views_leaves_the_terms_without_draws() {
    let inputs = Inputs::random(8, PRESENT);
    let config = PpcConfig { sampling: PixelSampling::EachClass, ..small() };
    let one = inputs.evaluate(&config).unwrap();
    let Inputs { features, cams, labels } = inputs;
    let swapped = Inputs { features: features.swapped(), cams: cams.swapped(), labels };
    let two = swapped.evaluate(&config).unwrap();
    for term in one.terms.iter() {
        assert_near(&term.name, value(&two, &term.name), value(&one, &term.name));
    }
}
