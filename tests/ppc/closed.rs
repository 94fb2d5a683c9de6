//! Cases whose value is known.

use candle_core::{Device, Tensor};
use candle_wsss::contrast::cross_entropy_against;
use candle_wsss::regularizer::hsc::BackgroundPrototype;
use candle_wsss::regularizer::ppc::{
    Candidates, ClassSample, PixelSampling, PositiveRank, PpcConfig, PrototypeMining, SemiHardRanks, SmallClasses,
    pixel_weights, sample_pixels,
};
use candle_wsss::{ClassLayout, ImageLabels, Pair, ReplaySampler};

use super::inputs::{FOREGROUND, Inputs, assert_near, numbers, small, value};

#[test]
fn equal_features_leave_pure_chance() {
    let mut inputs = Inputs::random(4, &[&[0, 2], &[1]]);
    inputs.features = inputs.features.map(|map| map.ones_like().unwrap());
    // A ramp in every class, so that all scores of prototypes are positive.
    let ramp = Tensor::arange(0f64, 20., &Device::Cpu).unwrap().reshape((1, 1, 4, 5)).unwrap();
    inputs.cams = inputs.cams.map(|cam| ramp.broadcast_as(cam.shape()).unwrap().contiguous().unwrap());
    let got = inputs.evaluate(&small()).unwrap();
    let classes = (FOREGROUND + 1) as f64;
    assert_near("cross prototype", value(&got, "cross_prototype"), classes.ln());
    assert_near("cross label", value(&got, "cross_label"), classes.ln());
    // Own class and ranks 2 to 4.
    assert_near("intra", value(&got, "intra"), 4f64.ln());
}

#[test]
fn separated_classes_cost_what_the_temperature_leaves() {
    // One class on the left half, background on the right, each with a feature of its own.
    let device = Device::Cpu;
    let side = |left: f64, right: f64| {
        let row = Tensor::new(&[left, left, right, right], &device).unwrap();
        row.broadcast_as((1, 1, 4, 4)).unwrap().contiguous().unwrap()
    };
    let map = Tensor::cat(&[side(2.0, 0.0), side(0.0, 3.0)], 1).unwrap();
    let layout = ClassLayout::new(1).unwrap();
    let inputs = Inputs {
        features: Pair::new(map.clone(), map),
        cams: Pair::new(side(1.0, 0.0), side(1.0, 0.0)).map(|cam| Tensor::cat(&[&cam, &cam], 1).unwrap()),
        labels: ImageLabels::new(vec![vec![0]], layout, candle_core::DType::F64, &device).unwrap(),
    };
    let config = PpcConfig {
        grid: (4, 4),
        background_prototype: BackgroundPrototype::OneMinusMax,
        mining: PrototypeMining::SemiHard(SemiHardRanks { dropped: 0, last_rank: 1 }),
        positive_rank: PositiveRank::Excluded,
        ..small()
    };
    let got = inputs.evaluate(&config).unwrap();
    let want = (1.0 + (-1.0 / config.temperature).exp()).ln();
    for name in ["cross_prototype", "cross_label", "intra"] {
        assert_near(name, value(&got, name), want);
    }
    // The nearest prototype is the own one, and now it counts twice.
    let ranked = PpcConfig { positive_rank: PositiveRank::Ranked, ..config };
    assert_near("intra", value(&inputs.evaluate(&ranked).unwrap(), "intra"), 2f64.ln());
}

#[test]
fn ranks_are_counted_from_the_nearest() {
    let layout = ClassLayout::new(4).unwrap();
    let labels = ImageLabels::new(vec![vec![0, 3]], layout, candle_core::DType::F64, &Device::Cpu).unwrap();
    let logits = Tensor::new(&[[5.0f64, 1.0, 3.0, 2.0, 4.0], [1.0, 1.0, 1.0, 1.0, 2.0]], &Device::Cpu).unwrap();
    let targets = Tensor::new(&[2u32, 3], &Device::Cpu).unwrap();
    let negatives = |absent, positive_rank, dropped, last_rank| {
        let config = PpcConfig {
            positive_rank,
            mining: PrototypeMining::SemiHard(SemiHardRanks { dropped, last_rank }),
            ..small()
        };
        let candidates = Candidates::new(&labels, absent, &Device::Cpu).unwrap();
        candidates.negatives(&logits, &targets, &config).unwrap().map(|columns| columns.to_vec2::<u32>().unwrap())
    };
    use PositiveRank::{Excluded, Ranked};
    use candle_wsss::regularizer::hsc::AbsentClasses::{self, Included};
    assert_eq!(negatives(Included, Ranked, 1, 3), Some(vec![vec![4, 2], vec![0, 1]]));
    assert_eq!(negatives(Included, Excluded, 1, 3), Some(vec![vec![4, 3], vec![0, 1]]));
    // There are no more than five.
    assert_eq!(negatives(Included, Ranked, 3, 13), Some(vec![vec![3, 1], vec![2, 3]]));
    assert_eq!(negatives(Included, Excluded, 3, 13), Some(vec![vec![1], vec![2]]));
    assert_eq!(negatives(Included, Ranked, 5, 13), None);
    // Of classes 0, 3 and the background.
    assert_eq!(negatives(AbsentClasses::Excluded, Ranked, 1, 13), Some(vec![vec![4, 3], vec![0, 3]]));
}

#[test]
fn the_hardest_tenth_is_skipped() {
    // Similarity falls with the position: of ten, the six hardest are 9 to 4, and the easier five of them count.
    let similarity: Vec<f64> = (0..10).map(|i| -f64::from(i)).collect();
    let sampler = ReplaySampler::new().record_distinct("s/1", vec![5, 0, 1, 2, 3]);
    let samples = sample_pixels(&[1; 10], &similarity, Some(0.6), &sampler, "s").unwrap();
    let want = ClassSample { class: 1, members: (0..10).collect(), chosen: vec![5, 0, 1, 2, 3, 8, 7, 6, 5, 4] };
    assert_eq!(samples, [want]);
    let weights = pixel_weights(&samples, 10, SmallClasses::Counted).unwrap();
    assert_eq!(weights, [0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.1, 0.1, 0.1, 0.0]);
}

#[test]
fn weights_of_pixels_sum_to_the_share_of_classes_with_pixels() {
    let sampler = candle_wsss::SeededSampler::new(1);
    let labels = [0, 3, 3, 3, 5, 5];
    let sum = |fraction, small| -> f64 {
        let samples = sample_pixels(&labels, &[0.5; 6], fraction, &sampler, "s").unwrap();
        pixel_weights(&samples, 6, small).unwrap().iter().sum()
    };
    assert_near("counted", sum(Some(0.6), SmallClasses::Counted), 2.0 / 3.0);
    assert_near("left out", sum(Some(0.6), SmallClasses::LeftOut), 1.0);
    assert_near("every pixel", sum(None, SmallClasses::Counted), 1.0);
    let single = sample_pixels(&[0, 2], &[0.5; 2], Some(0.6), &sampler, "s").unwrap();
    assert_eq!(pixel_weights(&single, 2, SmallClasses::Counted), None);
}

#[test]
fn classes_draw_from_streams_of_their_own() {
    let sampler = candle_wsss::SeededSampler::new(1);
    let similarity: Vec<f64> = (0..24).map(f64::from).collect();
    let of_last = |labels: &[usize]| {
        let samples = sample_pixels(labels, &similarity[..labels.len()], Some(0.6), &sampler, "s").unwrap();
        samples.last().unwrap().chosen[..6].to_vec()
    };
    let alone = of_last(&[4; 12]);
    let after_others: Vec<usize> = [1; 12].into_iter().chain([4; 12]).collect();
    assert_eq!(alone, of_last(&after_others));
    let elsewhere = sample_pixels(&[4; 12], &similarity[..12], Some(0.6), &sampler, "t").unwrap();
    assert_ne!(elsewhere[0].chosen[..6], alone);
}

#[test]
fn logits_far_apart_do_not_underflow() {
    let logits = Tensor::new(&[[0.0f32, 200.0, 150.0]], &Device::Cpu).unwrap();
    let labels = Tensor::new(&[0u32], &Device::Cpu).unwrap();
    let columns = Tensor::new(&[[2u32]], &Device::Cpu).unwrap();
    assert_eq!(numbers(&cross_entropy_against(&logits, &labels, &columns).unwrap()), [150.0]);
}

#[test]
fn pixels_that_all_count_weigh_the_same() {
    let inputs = Inputs::random(12, &[&[0, 2], &[1]]);
    let all = PpcConfig { sampling: PixelSampling::All, ..small() };
    let one = inputs.evaluate(&all).unwrap();
    assert_eq!(one.terms.scalars().unwrap(), inputs.evaluate(&all).unwrap().terms.scalars().unwrap());
    assert_ne!(value(&one, "intra"), value(&inputs.evaluate(&small()).unwrap(), "intra"));
}
