//! One pass equals sixty.

use candle_wsss_baselines::eval::{AbsentClass, Confusion, Sweep, ThresholdGrid, cross_fit};
use candle_wsss_baselines::infer::SeedMaps;

use super::random_image;

/// The arg-max over the background score and all classes, absent ones at 0, as the released code does it per threshold.
fn naive(truth: &[u8], maps: &SeedMaps, num_classes: usize, threshold: f64) -> Confusion {
    let pixels = truth.len();
    let mut labels = Vec::with_capacity(pixels);
    for pixel in 0..pixels {
        let mut column = vec![0f32; num_classes];
        column[0] = threshold as f32;
        for (index, class) in maps.classes().iter().enumerate() {
            column[class + 1] = maps.maps()[index * pixels + pixel];
        }
        let best = (0..num_classes).fold(0, |best, label| if column[label] > column[best] { label } else { best });
        labels.push(best as u8);
    }
    let mut confusion = Confusion::new(num_classes);
    for (truth, label) in truth.iter().zip(&labels) {
        if *truth != 255 {
            let mut pixel = Confusion::new(num_classes);
            pixel.add(&[*truth], &[*label]).unwrap();
            confusion.merge(&pixel).unwrap();
        }
    }
    confusion
}

#[test]
fn every_threshold_equals_a_separate_evaluation() {
    for seed in 0..12 {
        let num_classes = 2 + seed as usize % 6;
        // Thresholds that scores can hit exactly (in float32), and some between.
        let thresholds = vec![0.0, 0.1, 0.15, 0.3, 0.7, 0.999, 1.1, 2.0];
        let mut sweep = Sweep::new(num_classes, thresholds.clone()).unwrap();
        let images: Vec<_> =
            (0..4).map(|image| random_image(100 * seed + image, num_classes, (7 + image as usize, 9))).collect();
        for (truth, maps) in &images {
            sweep.add(truth, maps).unwrap();
        }
        for (point, threshold) in sweep.curve().points().iter().zip(&thresholds) {
            let mut want = Confusion::new(num_classes);
            for (truth, maps) in &images {
                want.merge(&naive(truth, maps, num_classes, *threshold)).unwrap();
            }
            assert_eq!(*point, want, "seed {seed}, threshold {threshold}");
        }
    }
}

#[test]
fn images_can_be_counted_in_any_order_and_apart() {
    let thresholds = ThresholdGrid::default().thresholds().unwrap();
    let images: Vec<_> = (0..6).map(|seed| random_image(seed, 5, (8, 11))).collect();
    let empty = Sweep::new(5, thresholds).unwrap();
    let mut whole = empty.clone();
    images.iter().for_each(|(truth, maps)| whole.add(truth, maps).unwrap());
    let (mut even, mut odd) = (empty.clone(), empty.clone());
    for (index, (truth, maps)) in images.iter().enumerate().rev() {
        let part = if index % 2 == 0 { &mut even } else { &mut odd };
        part.add(truth, maps).unwrap();
    }
    odd.merge(&even).unwrap();
    assert_eq!(odd.curve(), whole.curve());
    // The sum over images of one threshold is the point of the curve.
    for index in [0, 17, 59] {
        let mut sum = Confusion::new(5);
        for (truth, maps) in &images {
            let image = empty.image(truth, maps).unwrap();
            let confusion = image.confusion(index).unwrap();
            assert_eq!(image.class_counts(index).unwrap(), confusion.class_counts());
            sum.merge(&confusion).unwrap();
        }
        assert_eq!(sum, whole.curve().points()[index]);
    }
    let image = empty.image(&images[0].0, &images[0].1).unwrap();
    assert!(image.confusion(60).is_none());
}

#[test]
fn ties_go_to_the_background_then_to_the_lowest_class() {
    // 0.1 as float64 lies below the float32 of 0.1; as float32 they tie.
    let maps = SeedMaps::new(vec![1, 3], 1, 3, vec![0.1, 0.5, 0.2, 0.1, 0.5, 0.3]).unwrap();
    assert_eq!(maps.labels(0.1), [0, 2, 4]);
    assert_eq!(maps.labels(0.3), [0, 2, 0]);
    let mut sweep = Sweep::new(5, vec![0.1]).unwrap();
    sweep.add(&[0, 2, 4], &maps).unwrap();
    assert_eq!(sweep.curve().points()[0].pixel_accuracy(), Some(1.0));
}

#[test]
fn an_image_without_classes_is_all_background() {
    let maps = SeedMaps::new(vec![], 2, 2, vec![]).unwrap();
    assert_eq!(maps.labels(-1.0), [0; 4]);
    let mut sweep = Sweep::new(3, vec![0.0, 0.5]).unwrap();
    sweep.add(&[0, 2, 255, 0], &maps).unwrap();
    for point in sweep.curve().points() {
        assert_eq!(point.counts(), [2, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}

#[test]
fn absent_classes_follow_the_convention() {
    let mut confusion = Confusion::new(3);
    confusion.add(&[0, 0, 1, 255], &[0, 1, 1, 2]).unwrap();
    assert_eq!(confusion.ious(AbsentClass::Skipped), [Some(0.5), Some(0.5), None]);
    assert_eq!(confusion.mean_iou(AbsentClass::Skipped), Some(0.5));
    let mean = confusion.mean_iou(AbsentClass::AsZero).unwrap();
    assert!((mean - 1.0 / 3.0).abs() < 1e-9, "{mean}");
    let counts = confusion.class_counts();
    assert_eq!(counts.recalls(), [Some(0.5), Some(1.0), None]);
    assert_eq!(counts.precisions(), [Some(1.0), Some(0.5), None]);
    let nothing = Confusion::new(3);
    assert_eq!(nothing.mean_iou(AbsentClass::Skipped), None);
    assert_eq!(nothing.mean_iou(AbsentClass::AsZero), Some(0.0));
    assert_eq!(nothing.pixel_accuracy(), None);
}

#[test]
fn the_first_of_equal_points_is_best() {
    let maps = SeedMaps::new(vec![0], 1, 2, vec![0.9, 0.0]).unwrap();
    let mut sweep = Sweep::new(2, vec![0.0, 0.2, 0.4, 0.95]).unwrap();
    sweep.add(&[1, 0], &maps).unwrap();
    let best = sweep.curve().best(AbsentClass::Skipped).unwrap();
    assert_eq!((best.index, best.threshold, best.mean_iou), (0, 0.0, 1.0));
    let empty = Sweep::new(2, vec![0.5]).unwrap();
    assert_eq!(empty.curve().best(AbsentClass::Skipped), None);
}

#[test]
fn the_grid_is_made_of_quotients() {
    let thresholds = ThresholdGrid::default().thresholds().unwrap();
    let want: Vec<f64> = (0..60).map(|step| f64::from(step) / 100.0).collect();
    assert_eq!(thresholds, want);
    assert_eq!(thresholds[29], 0.29);
}

#[test]
fn cross_fitting_never_uses_an_image_to_choose_its_own_score() {
    let images: Vec<_> = (0..9).map(|seed| random_image(seed, 4, (6, 6))).collect();
    let empty = Sweep::new(4, vec![0.0, 0.25, 0.45, 0.65, 0.85]).unwrap();
    let histograms: Vec<_> = images.iter().map(|(truth, maps)| empty.image(truth, maps).unwrap()).collect();
    let fit = cross_fit(&empty, &histograms, 3, AbsentClass::Skipped).unwrap().unwrap();
    let mut want = Confusion::new(4);
    for fold in 0..3 {
        let mut others = empty.clone();
        for (index, (truth, maps)) in images.iter().enumerate() {
            if index % 3 != fold {
                others.add(truth, maps).unwrap();
            }
        }
        let best = others.curve().best(AbsentClass::Skipped).unwrap();
        assert_eq!(fit.thresholds[fold], best.threshold);
        for (truth, maps) in images.iter().skip(fold).step_by(3) {
            want.add(truth, &maps.labels(best.threshold as f32)).unwrap();
        }
    }
    assert_eq!(fit.confusion, want);
    assert!(cross_fit(&empty, &histograms, 1, AbsentClass::Skipped).is_err());
    assert!(cross_fit(&empty, &histograms, 10, AbsentClass::Skipped).is_err());
}

#[test]
fn without_ground_truth_elsewhere_no_score_is_chosen() {
    let empty = Sweep::new(4, vec![0.0, 0.25, 0.45]).unwrap();
    let histograms = |judged: &dyn Fn(u64) -> bool| -> Vec<_> {
        (0..6)
            .map(|seed| {
                let (truth, maps) = random_image(seed, 4, (6, 6));
                let truth = if judged(seed) { truth } else { vec![255; truth.len()] };
                empty.image(&truth, &maps).unwrap()
            })
            .collect()
    };
    for absent in [AbsentClass::Skipped, AbsentClass::AsZero] {
        let fit = |judged: &dyn Fn(u64) -> bool, folds| cross_fit(&empty, &histograms(judged), folds, absent).unwrap();
        assert_eq!(fit(&|_| false, 2), None);
        assert_eq!(fit(&|image| image % 2 == 0, 2), None, "the other part is void");
        assert_eq!(fit(&|image| image % 3 == 1, 3), None, "the other parts are void");
        assert!(fit(&|image| image % 3 != 1, 3).is_some() && fit(&|image| image < 2, 2).is_some());
    }
}
