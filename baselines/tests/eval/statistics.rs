//! Spread, paired difference, bootstrap: closed forms and determinism.

use candle_wsss::SeededSampler;
use candle_wsss_baselines::eval::{
    AbsentClass, BootstrapConfig, BootstrapInterval, ClassCounts, Confusion, PairedDifference, Spread,
    bootstrap_difference,
};

fn near(got: f64, want: f64) -> bool {
    (got - want).abs() < 1e-12
}

#[test]
fn spread_of_known_values() {
    let spread = Spread::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).unwrap();
    assert!(near(spread.mean, 5.0) && near(spread.standard_deviation.unwrap(), (32.0f64 / 7.0).sqrt()), "{spread:?}");
    assert_eq!(Spread::of(&[3.0]).unwrap(), Spread { mean: 3.0, standard_deviation: None, count: 1 });
    assert_eq!(Spread::of(&[]), None);
}

#[test]
fn pairs_take_out_what_repeats_share() {
    let reference = [0.50, 0.60, 0.40];
    let difference = PairedDifference::of(&[0.52, 0.62, 0.42], &reference).unwrap();
    assert!(near(difference.mean, 0.02) && near(difference.standard_error.unwrap(), 0.0), "{difference:?}");
    let difference = PairedDifference::of(&[0.51, 0.63, 0.42], &reference).unwrap();
    // Differences 0.01, 0.03, 0.02: deviation 0.01, error 0.01 / sqrt(3).
    assert!(near(difference.standard_error.unwrap(), 0.01 / 3f64.sqrt()), "{difference:?}");
    assert_eq!(PairedDifference::of(&[0.5], &[0.4]).unwrap().standard_error, None);
    assert!(PairedDifference::of(&[0.5], &reference).is_err());
    assert!(PairedDifference::of(&[], &[]).is_err());
}

/// An image of 100 pixels, `right` of them labelled as in the ground truth.
fn image(right: usize) -> ClassCounts {
    let truth: Vec<u8> = (0..100).map(|pixel| u8::from(pixel % 2 == 0)).collect();
    let predicted: Vec<u8> = truth.iter().enumerate().map(|(i, t)| if i < right { *t } else { 1 - t }).collect();
    let mut confusion = Confusion::new(2);
    confusion.add(&truth, &predicted).unwrap();
    confusion.class_counts()
}

fn bootstrap(candidate: &[Vec<ClassCounts>], reference: &[Vec<ClassCounts>], seed: u64) -> BootstrapInterval {
    let config = BootstrapConfig { resamples: 400, level: 0.9 };
    bootstrap_difference(candidate, reference, AbsentClass::Skipped, config, &mut SeededSampler::new(seed)).unwrap()
}

#[test]
fn equal_methods_differ_by_nothing() {
    let method = vec![(0..20).map(|i| image(50 + i)).collect::<Vec<_>>()];
    let interval = bootstrap(&method, &method, 1);
    assert_eq!((interval.difference, interval.lower, interval.upper), (0.0, 0.0, 0.0));
    assert_eq!((interval.images, interval.resamples, interval.level), (20, 400, 0.9));
}

#[test]
fn the_interval_holds_the_difference_and_follows_the_seed() {
    let reference = vec![(0..40).map(|i| image(50 + i)).collect::<Vec<_>>()];
    let better = vec![(0..40).map(|i| image(52 + i + (i * 7) % 5)).collect::<Vec<_>>()];
    let interval = bootstrap(&better, &reference, 1);
    assert!(interval.lower > 0.0 && interval.lower < interval.difference && interval.difference < interval.upper);
    assert_eq!(interval, bootstrap(&better, &reference, 1));
    assert_ne!(interval, bootstrap(&better, &reference, 2));
    // The other way round it is the mirror image.
    let mirrored = bootstrap(&reference, &better, 1);
    assert!(near(mirrored.lower, -interval.upper) && near(mirrored.upper, -interval.lower));
}

#[test]
fn one_image_leaves_nothing_to_draw() {
    let interval = bootstrap(&[vec![image(80)]], &[vec![image(60)], vec![image(70)]], 3);
    assert!(near(interval.lower, interval.difference) && near(interval.upper, interval.difference));
    // Repeats are averaged after their IoU: a = right / (200 - right) for both classes.
    let iou = |right: f64| right / (200.0 - right);
    assert!(near(interval.difference, iou(80.0) - (iou(60.0) + iou(70.0)) / 2.0));
}

#[test]
fn the_interval_is_as_wide_as_theory_says() {
    // Images entirely right or wrong: accuracy is a share of a binomial draw, and so is a monotone function of it.
    let reference: Vec<ClassCounts> = (0..100).map(|i| image(if i % 2 == 0 { 100 } else { 0 })).collect();
    let nothing: Vec<ClassCounts> = (0..100).map(|_| image(0)).collect();
    let interval = bootstrap(&[reference], &[nothing], 5);
    // p = 1/2, n = 100: 90 % of the draws within 1.645 * 0.05 of p; IoU = p / (2 - p).
    let iou = |p: f64| p / (2.0 - p);
    assert!((interval.lower - iou(0.5 - 0.082)).abs() < 0.02, "{interval:?}");
    assert!((interval.upper - iou(0.5 + 0.082)).abs() < 0.02, "{interval:?}");
}

#[test]
fn bad_input_is_refused() {
    let one = vec![vec![image(80)]];
    let refuse = |candidate: &[Vec<ClassCounts>], reference: &[Vec<ClassCounts>], config, word: &str| {
        let wrong =
            bootstrap_difference(candidate, reference, AbsentClass::Skipped, config, &mut SeededSampler::new(1));
        let wrong = wrong.unwrap_err().to_string();
        assert!(wrong.contains(word), "{wrong}");
    };
    let good = BootstrapConfig::default();
    refuse(&[], &one, good, "without repeats");
    refuse(&one, &[], good, "without repeats");
    refuse(&[vec![]], &[vec![]], good, "without repeats or images");
    refuse(&[vec![image(1), image(2)]], &one, good, "expected 1 images");
    refuse(&[vec![ClassCounts::new(5)]], &one, good, "expected 2 classes");
    refuse(&[vec![ClassCounts::new(2)]], &[vec![ClassCounts::new(2)]], good, "no image has a pixel");
    refuse(&one, &one, BootstrapConfig { resamples: 0, ..good }, "resamples");
    refuse(&one, &one, BootstrapConfig { level: 1.0, ..good }, "level");
}
