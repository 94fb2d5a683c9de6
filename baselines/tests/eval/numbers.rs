//! Bootstrap of one method, measures, counts of label maps: against naive evaluations and closed forms.

use candle_wsss::{Sampler, SeededSampler};
use candle_wsss_baselines::eval::{
    AbsentClass, BootstrapConfig, ClassCounts, Confusion, Measures, Sweep, ThresholdGrid, bootstrap_difference,
    bootstrap_mean_iou, cross_fit,
};

use crate::eval::random_image;

const CONFIG: BootstrapConfig = BootstrapConfig { resamples: 300, level: 0.9 };

// Images of five classes at one threshold.
fn images(count: u64) -> Vec<Confusion> {
    let sweep = Sweep::new(5, vec![0.2]).unwrap();
    let image = |seed| {
        let (truth, maps) = random_image(seed, 5, (9, 13));
        sweep.image(&truth, &maps).unwrap().confusion(0).unwrap()
    };
    (0..count).map(image).collect()
}

fn counts(images: &[Confusion]) -> Vec<ClassCounts> {
    images.iter().map(Confusion::class_counts).collect()
}

#[test]
fn the_interval_equals_a_naive_bootstrap() {
    let images = images(30);
    for absent in [AbsentClass::AsZero, AbsentClass::Skipped] {
        let got = bootstrap_mean_iou(&counts(&images), absent, CONFIG, &mut SeededSampler::new(4)).unwrap();
        let mut sampler = SeededSampler::new(4);
        let mut values: Vec<f64> = (0..CONFIG.resamples)
            .map(|_| {
                let mut pooled = Confusion::new(5);
                for uniform in sampler.uniform(images.len()).unwrap() {
                    pooled.merge(&images[(uniform * images.len() as f64) as usize]).unwrap();
                }
                pooled.mean_iou(absent).unwrap()
            })
            .collect();
        values.sort_by(f64::total_cmp);
        let quantile = |share: f64| {
            let place = share * (values.len() - 1) as f64;
            let (below, rest) = (place.floor() as usize, place.fract());
            values[below] * (1.0 - rest) + values[(below + 1).min(values.len() - 1)] * rest
        };
        assert!((got.lower - quantile(0.05)).abs() < 1e-12 && (got.upper - quantile(0.95)).abs() < 1e-12, "{got:?}");
        let mut all = Confusion::new(5);
        images.iter().for_each(|image| all.merge(image).unwrap());
        assert_eq!(got.value, all.mean_iou(absent).unwrap());
        assert_eq!((got.level, got.resamples, got.images), (0.9, 300, 30));
        assert!(got.lower < got.value && got.value < got.upper, "{got:?}");
    }
}

#[test]
fn the_interval_does_not_depend_on_threads() {
    let images = counts(&images(20));
    let draw = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut sampler = SeededSampler::new(1);
            bootstrap_mean_iou(&images, AbsentClass::AsZero, CONFIG, &mut sampler).unwrap()
        })
    };
    assert_eq!(draw(1), draw(3));
    let other = bootstrap_mean_iou(&images, AbsentClass::AsZero, CONFIG, &mut SeededSampler::new(2)).unwrap();
    assert_ne!(draw(1), other);
}

#[test]
fn a_method_against_nothing_is_the_method() {
    let images = counts(&images(25));
    let nothing: Vec<ClassCounts> = {
        // All wrong: IoU 0 whatever is drawn.
        let mut wrong = Confusion::new(5);
        wrong.add(&[0, 1, 2, 3, 4], &[1, 2, 3, 4, 0]).unwrap();
        vec![wrong.class_counts(); 25]
    };
    let one = bootstrap_mean_iou(&images, AbsentClass::AsZero, CONFIG, &mut SeededSampler::new(3)).unwrap();
    let repeats = (vec![images], vec![nothing]);
    let mut sampler = SeededSampler::new(3);
    let two = bootstrap_difference(&repeats.0, &repeats.1, AbsentClass::AsZero, CONFIG, &mut sampler).unwrap();
    assert_eq!((one.value, one.lower, one.upper), (two.difference, two.lower, two.upper));
}

#[test]
fn bad_input_of_the_interval_is_refused() {
    let images = counts(&images(3));
    let refuse = |images: &[ClassCounts], config, word: &str| {
        let wrong = bootstrap_mean_iou(images, AbsentClass::Skipped, config, &mut SeededSampler::new(1)).unwrap_err();
        assert!(wrong.to_string().contains(word), "{wrong}");
    };
    refuse(&[], CONFIG, "without repeats or images");
    refuse(&[images[0].clone(), ClassCounts::new(4)], CONFIG, "expected 5 classes in every image, got 4");
    refuse(&[ClassCounts::new(5)], CONFIG, "no image has a pixel");
    refuse(&images, BootstrapConfig { resamples: 0, ..CONFIG }, "resamples");
    refuse(&images, BootstrapConfig { resamples: usize::MAX / 2, ..CONFIG }, "must be at most 1000000");
    refuse(&images, BootstrapConfig { level: f64::NAN, ..CONFIG }, "level");
}

#[test]
fn measures_of_a_small_confusion() {
    let mut confusion = Confusion::new(4);
    // Background 4 of 6 found; class 1: 3 predicted, 2 right, 2 there; class 2 is never found; class 3 is absent.
    confusion.add(&[0, 0, 0, 0, 0, 0, 1, 1, 2, 255], &[0, 0, 0, 0, 1, 2, 1, 1, 0, 3]).unwrap();
    let measures = Measures::of(&confusion, AbsentClass::Skipped);
    let near = |got: Option<f64>, want: f64| assert!((got.unwrap() - want).abs() < 1e-9, "{got:?}, want {want}");
    let ious = [4.0 / 7.0, 2.0 / 3.0, 0.0];
    near(measures.mean_iou, ious.iter().sum::<f64>() / 3.0);
    near(measures.mean_iou_absent_skipped, ious.iter().sum::<f64>() / 3.0);
    near(measures.mean_iou_absent_as_zero, ious.iter().sum::<f64>() / 4.0);
    near(measures.foreground_iou, 1.0 / 3.0);
    near(measures.precision, (4.0 / 5.0 + 2.0 / 3.0 + 0.0) / 3.0);
    near(measures.recall, (4.0 / 6.0 + 1.0 + 0.0) / 3.0);
    near(measures.pixel_accuracy, 6.0 / 9.0);
    // Foreground classes with pixels found: class 1 alone.
    near(measures.over_activation, 0.5);
    near(measures.under_activation, 0.0);
    assert_eq!(measures.absent(), [3]);
    assert_eq!(
        (measures.classes[3].iou, measures.classes[3].precision, measures.classes[3].recall),
        (None, None, None)
    );
    assert_eq!(measures.classes[2].over_activation(), None);
    assert_eq!((measures.classes[1].ground_truth, measures.classes[1].predicted), (2, 3));
    assert_eq!(Measures::of(&confusion, AbsentClass::AsZero).classes[3].iou, Some(0.0));
    let nothing = Measures::of(&Confusion::new(4), AbsentClass::Skipped);
    assert_eq!((nothing.mean_iou, nothing.over_activation, nothing.pixel_accuracy), (None, None, None));
}

#[test]
fn label_maps_are_counted_as_pixel_by_pixel() {
    for (seed, classes) in [(0, 2), (1, 21), (2, 81), (3, 255)] {
        for len in [0, 1, 2, 3, 1000, 4097] {
            let mut draws = SeededSampler::new(seed);
            let mut labels =
                |top: usize| draws.uniform(len).unwrap().iter().map(|u| (u * top as f64) as u8).collect::<Vec<_>>();
            let (mut truth, predicted) = (labels(classes), labels(classes));
            truth.iter_mut().step_by(7).for_each(|value| *value = 255);
            let mut want = vec![0u64; classes * classes];
            for (truth, label) in truth.iter().zip(&predicted).filter(|(truth, _)| **truth != 255) {
                want[usize::from(*truth) * classes + usize::from(*label)] += 1;
            }
            let mut confusion = Confusion::new(classes);
            confusion.add(&truth, &predicted).unwrap();
            assert_eq!(confusion.counts(), want, "{classes} classes, {len} pixels");
            assert_eq!(confusion.rows().concat(), want);
        }
    }
    let mut confusion = Confusion::new(21);
    for (truth, label) in [(21u8, 0u8), (254, 0), (0, 21), (0, 255)] {
        assert!(confusion.add(&[0, 0, truth], &[0, 0, label]).is_err(), "{truth} {label}");
    }
    assert_eq!(confusion, Confusion::new(21), "a refused image leaves nothing");
}

#[test]
fn sweeps_larger_than_a_block_are_exact() {
    let thresholds = ThresholdGrid::default().thresholds().unwrap();
    let sweep = Sweep::new(21, thresholds.clone()).unwrap();
    let (truth, maps) = random_image(5, 21, (61, 53));
    let image = sweep.image(&truth, &maps).unwrap();
    for (index, threshold) in thresholds.iter().enumerate().step_by(7) {
        let mut want = Confusion::new(21);
        want.add(&truth, &maps.labels(*threshold as f32)).unwrap();
        assert_eq!(image.confusion(index).unwrap(), want, "at {threshold}");
    }
}

#[test]
fn held_out_images_add_up() {
    let sweep = Sweep::new(4, vec![0.0, 0.25, 0.45, 0.65]).unwrap();
    let histograms: Vec<_> = (0..7)
        .map(|seed| {
            let (truth, maps) = random_image(seed, 4, (6, 6));
            sweep.image(&truth, &maps).unwrap()
        })
        .collect();
    let fit = cross_fit(&sweep, &histograms, 2, AbsentClass::AsZero).unwrap().unwrap();
    assert_eq!((fit.thresholds.len(), fit.images.len()), (2, 7));
    let sums =
        |pick: fn(&ClassCounts) -> &[u64], class: usize| fit.images.iter().map(|image| pick(image)[class]).sum::<u64>();
    let pooled = fit.confusion.class_counts();
    for class in 0..4 {
        assert_eq!(pooled.true_positive()[class], sums(ClassCounts::true_positive, class));
        assert_eq!(pooled.ground_truth()[class], sums(ClassCounts::ground_truth, class));
        assert_eq!(pooled.predicted()[class], sums(ClassCounts::predicted, class));
    }
}
