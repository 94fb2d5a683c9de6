//! Batches in which something is missing.

use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::hsc::{AbsentClasses, BackgroundPrototype};
use candle_wsss::regularizer::ppc::{
    PixelSampling, PositiveRank, PpcConfig, PrototypeMining, SemiHardRanks, SmallClasses, evaluate,
};
use candle_wsss::{ClassLayout, ImageLabels, SeededSampler};

use super::inputs::{DRAWS, Inputs, assert_near, numbers, omitted, small, value};

fn configs() -> Vec<PpcConfig> {
    vec![
        small(),
        PpcConfig { absent_classes: AbsentClasses::Excluded, ..small() },
        PpcConfig { background_prototype: BackgroundPrototype::OneMinusMax, ..small() },
        PpcConfig { small_classes: SmallClasses::LeftOut, positive_rank: PositiveRank::Excluded, ..small() },
        PpcConfig { mining: PrototypeMining::All, sampling: PixelSampling::EachClass, ..small() },
    ]
}

#[test]
fn odd_batches_stay_finite() {
    // One image; no class shared; an image without label; no label at all.
    for present in [&[&[0usize, 1][..]][..], &[&[0], &[1]], &[&[], &[3]], &[&[], &[]], &[&[0, 1, 2, 3], &[2]]] {
        for config in configs() {
            let mut inputs = Inputs::random(5, present);
            inputs.check_finite(&config);
            // Constant maps, then maps without any activation: the label is background everywhere.
            for level in [3.0, 0.0] {
                inputs.cams = inputs.cams.map(|cam| (cam.zeros_like().unwrap() + level).unwrap());
                inputs.check_finite(&config);
            }
            inputs.features = inputs.features.map(|map| map.zeros_like().unwrap());
            inputs.check_finite(&config);
        }
    }
}

#[test]
fn a_label_the_maps_do_not_show_leaves_background() {
    let mut inputs = Inputs::random(6, &[&[0], &[2]]);
    inputs.cams = inputs.cams.map(|cam| cam.abs().unwrap().neg().unwrap());
    assert!(numbers(&inputs.seeds(&small()).labels.source).iter().all(|class| *class == 4.0));
    let objective = inputs.check_finite(&small());
    assert!(objective.terms.omitted().is_empty());
    // All prototypes are the mean of the first pixels, turned round where a score is negative.
    assert!(value(&objective, "intra") > 0.0);
}

#[test]
fn without_a_second_class_everything_is_left_out() {
    let inputs = Inputs::random(7, &[&[], &[]]);
    let config = PpcConfig { absent_classes: AbsentClasses::Excluded, ..small() };
    assert_eq!(omitted(&inputs.check_finite(&config)), ["cross_prototype", "cross_label", "intra"]);
    let unmined = PpcConfig { mining: PrototypeMining::All, ..config };
    assert_eq!(omitted(&inputs.check_finite(&unmined)), ["cross_prototype", "cross_label", "intra"]);
    assert!(omitted(&inputs.check_finite(&small())).is_empty());
}

#[test]
fn classes_of_one_pixel_alone_leave_nothing_to_sample() {
    // One pixel per view: one class of one pixel.
    let inputs = Inputs::random(8, &[&[0]]);
    let config = PpcConfig { grid: (1, 1), ..small() };
    assert_eq!(omitted(&inputs.check_finite(&config)), ["intra"]);
    let every = PpcConfig { sampling: PixelSampling::EachClass, ..config };
    assert!(omitted(&inputs.check_finite(&every)).is_empty());
}

#[test]
fn a_view_of_small_classes_only_adds_nothing_or_is_left_out() {
    // Two pixels, of one class in the target view and of two in the source view.
    let mut inputs = Inputs::random(9, &[&[0]]);
    let pair = |left: f64, right: f64| {
        let pixels = Tensor::new(&[[[[left, right]]]], &Device::Cpu).unwrap();
        let rest = Tensor::zeros((1, 4, 1, 2), DType::F64, &Device::Cpu).unwrap();
        Tensor::cat(&[pixels, rest], 1).unwrap()
    };
    inputs.cams.source = pair(1.0, 0.0);
    inputs.cams.target = pair(0.0, 0.0);
    inputs.features = inputs.features.map(|map| map.narrow(2, 0, 1).unwrap().narrow(3, 0, 2).unwrap());
    let counted = PpcConfig { grid: (1, 2), ..small() };
    let left_out = PpcConfig { small_classes: SmallClasses::LeftOut, ..counted.clone() };
    let intra = |config: &PpcConfig| value(&inputs.check_finite(config), "intra");
    assert!(intra(&counted) > 0.0);
    assert_near("halved", 2.0 * intra(&counted), intra(&left_out));
}

#[test]
fn any_number_of_classes_and_images() {
    for num_classes in [2, 7, 21, 81] {
        let foreground = num_classes - 1;
        for n in 1..=4 {
            let present = (0..n).map(|image| vec![image % foreground, (3 * image + 1) % foreground]).collect();
            let inputs = Inputs::of(10, foreground, present);
            let mining = PrototypeMining::SemiHard(SemiHardRanks { dropped: 3, last_rank: 13 });
            let objective = inputs.check_finite(&PpcConfig { mining, ..small() });
            // Of two classes none is left behind the nearest three.
            let want: &[&str] = if num_classes == 2 { &["intra"] } else { &[] };
            assert_eq!(omitted(&objective), want);
            assert!(objective.terms.scalars().unwrap().iter().all(|term| term.value > 0.0));
        }
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let inputs = Inputs::random(1, &[&[0], &[1]]);
    let message = |features: usize, cams: usize, images: usize| {
        let present = (0..images).map(|_| vec![0]).collect();
        let layout = ClassLayout::new(4).unwrap();
        let labels = ImageLabels::new(present, layout, DType::F64, &Device::Cpu).unwrap();
        let features = inputs.features.as_ref().map(|map| map.narrow(0, 0, features).unwrap());
        let cams = inputs.cams.as_ref().map(|map| map.narrow(1, 0, cams).unwrap());
        evaluate(&features, cams.as_ref(), &labels, &small(), &SeededSampler::new(DRAWS)).unwrap_err().to_string()
    };
    assert!(message(2, 5, 0).contains("batch"));
    assert!(message(2, 4, 2).contains("seed map"));
    assert!(message(1, 5, 2).contains("projected features"));
}

#[test]
fn float32_agrees_with_float64() {
    let inputs = Inputs::random(13, &[&[0, 2], &[1]]);
    let double = inputs.evaluate(&small()).unwrap().terms.scalars().unwrap();
    let single = |map: &Tensor| map.to_dtype(DType::F32).unwrap();
    let (features, cams) = (inputs.features.as_ref().map(single), inputs.cams.as_ref().map(single));
    let sampler = SeededSampler::new(DRAWS);
    let got = evaluate(&features, cams.as_ref(), &inputs.labels, &small(), &sampler).unwrap();
    for (got, want) in got.terms.scalars().unwrap().iter().zip(double) {
        assert!((got.value - want.value).abs() < 1e-5 * want.value, "{}: {} {}", want.name, got.value, want.value);
    }
}
