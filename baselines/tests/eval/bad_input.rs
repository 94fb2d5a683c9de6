//! Every refusal names the thing, what was expected and what came.

use candle_wsss_baselines::eval::{Confusion, Sweep, ThresholdGrid};
use candle_wsss_baselines::infer::SeedMaps;

fn message<T: std::fmt::Debug>(result: candle_wsss_baselines::Result<T>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn sizes_and_labels_are_checked_and_nothing_is_counted() {
    let maps = SeedMaps::new(vec![0], 1, 3, vec![0.1, 0.6, 0.7]).unwrap();
    let mut sweep = Sweep::new(3, vec![0.5]).unwrap();
    let before = sweep.curve();
    let wrong = message(sweep.add(&[0, 1], &maps));
    assert_eq!(wrong, "seed maps: expected 2 pixels as in the ground truth, got 3");
    let wrong = message(sweep.add(&[0, 1, 3], &maps));
    assert_eq!(wrong, "ground truth: labels must be below 3, or 255 for void, one is 3");
    let surplus = SeedMaps::new(vec![2], 1, 1, vec![0.1]).unwrap();
    assert_eq!(message(sweep.add(&[0], &surplus)), "seed maps: classes must be below 2, one is 2");
    assert_eq!(sweep.curve(), before);

    let mut confusion = Confusion::new(3);
    assert!(message(confusion.add(&[0, 1], &[0])).contains("prediction: expected 2 pixels"));
    assert_eq!(message(confusion.add(&[0, 1], &[0, 255])), "prediction: labels must be below 3, one is 255");
    assert!(message(confusion.add(&[0, 254], &[0, 0])).contains("ground truth"));
    assert_eq!(confusion, Confusion::new(3));
    // Under void, anything goes.
    confusion.add(&[255], &[77]).unwrap();
    assert_eq!(confusion, Confusion::new(3));
}

#[test]
fn sweeps_of_other_classes_or_thresholds_do_not_merge() {
    let mut sweep = Sweep::new(3, vec![0.5]).unwrap();
    assert!(sweep.merge(&Sweep::new(4, vec![0.5]).unwrap()).is_err());
    assert!(sweep.merge(&Sweep::new(3, vec![0.4]).unwrap()).is_err());
    assert!(sweep.merge(&Sweep::new(3, vec![0.4, 0.5]).unwrap()).is_err());
    let other = Sweep::new(3, vec![0.4]).unwrap();
    let maps = SeedMaps::new(vec![], 1, 1, vec![]).unwrap();
    assert!(sweep.add_image(&other.image(&[0], &maps).unwrap()).is_err());
    assert!(Confusion::new(2).merge(&Confusion::new(3)).is_err());
}

#[test]
fn thresholds_are_checked() {
    for (thresholds, word) in [
        (vec![], "empty"),
        (vec![0.2, 0.2], "ascend"),
        (vec![0.3, 0.2], "ascend"),
        (vec![-0.1, 0.2], "-0.1"),
        (vec![f64::NAN], "NaN"),
        (vec![f64::INFINITY], "inf"),
    ] {
        let wrong = message(Sweep::new(3, thresholds));
        assert!(wrong.contains("thresholds") && wrong.contains(word), "{wrong}");
    }
    assert!(message(Sweep::new(1, vec![0.5])).contains("num_classes"));
    assert!(message(Sweep::new(256, vec![0.5])).contains("num_classes"));
    assert!(message(ThresholdGrid { first: 3, last: 2, per_unit: 10 }.thresholds()).contains("thresholds.last"));
    let many = ThresholdGrid { first: 5, last: 1006, per_unit: 1000 };
    assert!(message(many.thresholds()).contains("must be at most 1005, which is 1001 scores, is 1006"));
    assert!(
        message(ThresholdGrid { first: 0, last: usize::MAX, per_unit: 1 }.thresholds()).contains("thresholds.last")
    );
    assert_eq!(ThresholdGrid { last: 1005, ..many }.thresholds().unwrap().len(), 1001);
    assert!(message(ThresholdGrid { first: 0, last: 2, per_unit: 0 }.thresholds()).contains("thresholds.per_unit"));
    let curve = Sweep::new(3, vec![0.1, 0.2]).unwrap().curve();
    assert!(message(curve.index_of(0.15)).contains("must be one of the 2 thresholds, 0.1 to 0.2, is 0.15"));
}

#[test]
fn seed_maps_are_checked() {
    for (classes, size, maps, word) in [
        (vec![1, 1], (1, 1), vec![0.0; 2], "ascend"),
        (vec![2, 1], (1, 1), vec![0.0; 2], "ascend"),
        (vec![254], (1, 1), vec![0.0], "below 254"),
        (vec![1], (2, 2), vec![0.0; 3], "1 maps of 2 x 2, got 3 scores"),
        (vec![1], (usize::MAX, 2), vec![0.0; 3], "at most 67108864 pixels"),
        (vec![1, 4], (1, 2), vec![0.0, 0.0, 0.0, f32::NAN], "class 4"),
    ] {
        let wrong = message(SeedMaps::new(classes, size.0, size.1, maps));
        assert!(wrong.contains(word), "{wrong}");
    }
}
