//! Saliency maps: as good as a detector's, wrong in the ways asked for, and of no effect on anything else.

use candle_wsss_baselines::data::{Dataset, VOID};
use candle_wsss_baselines::synth::SynthConfig;

use super::{Generated, small};

/// Pixels found and not, against the union of the objects; void is left out.
#[derive(Clone, Copy, Default)]
struct Counts {
    hit: f64,
    missed: f64,
    false_alarm: f64,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.hit += other.hit;
        self.missed += other.missed;
        self.false_alarm += other.false_alarm;
    }

    fn iou(self) -> f64 {
        self.hit / (self.hit + self.missed + self.false_alarm)
    }

    fn precision(self) -> f64 {
        self.hit / (self.hit + self.false_alarm)
    }

    fn recall(self) -> f64 {
        self.hit / (self.hit + self.missed)
    }
}

/// Of every image of a split.
fn counts(set: &Generated, split: &str) -> Vec<Counts> {
    let data = Dataset::open(&set.root(), split).unwrap();
    let of_image = |i: usize| {
        let (mask, map) = (data.mask(i).unwrap(), data.saliency(i).unwrap().unwrap());
        assert_eq!((map.width() as usize, map.height() as usize), (mask.width, mask.height));
        let mut counts = Counts::default();
        for (value, level) in mask.data.iter().zip(map.as_raw()).filter(|(value, _)| **value != VOID) {
            match (*value != 0, *level > 127) {
                (true, true) => counts.hit += 1.0,
                (true, false) => counts.missed += 1.0,
                (false, true) => counts.false_alarm += 1.0,
                (false, false) => {}
            }
        }
        counts
    };
    (0..data.len()).map(of_image).collect()
}

fn pooled(counts: &[Counts]) -> Counts {
    let mut sum = Counts::default();
    counts.iter().for_each(|counts| sum.add(*counts));
    sum
}

// docs/embedded-data.md states these figures.
#[test]
fn the_default_is_a_good_detector_with_faults() {
    let set = Generated::new(&SynthConfig::default());
    let mut images = counts(&set, "train");
    images.extend(counts(&set, "val"));
    let mean = images.iter().map(|counts| counts.iou()).sum::<f64>() / images.len() as f64;
    let all = pooled(&images);
    let got = [mean, all.iou(), all.precision(), all.recall()].map(|share| (100.0 * share).round());
    assert_eq!(got, FIGURES, "mean IoU, pooled IoU, precision, recall, in percent");
    assert!((0.6..0.75).contains(&mean) && images.iter().any(|counts| counts.hit == 0.0));
}

const FIGURES: [f64; 4] = [70.0, 70.0, 91.0, 76.0];

fn bare() -> SynthConfig {
    SynthConfig {
        train: 40,
        saliency_coarseness: 0.0,
        saliency_misses: 0.0,
        saliency_distractors: 0.0,
        saliency_error: 0.0,
        ..small()
    }
}

fn quality(config: &SynthConfig) -> Counts {
    pooled(&counts(&Generated::new(config), "train"))
}

#[test]
fn without_faults_it_is_the_truth() {
    assert_eq!(quality(&bare()).iou(), 1.0);
    let set = Generated::new(&bare());
    let data = Dataset::open(&set.root(), "train").unwrap();
    assert!(data.saliency(0).unwrap().unwrap().as_raw().iter().all(|level| matches!(level, 0 | 255)));
}

#[test]
fn every_fault_is_its_own() {
    let misses = quality(&SynthConfig { saliency_misses: 1.0, ..bare() });
    assert!(misses.precision() == 1.0 && (0.3..0.95).contains(&misses.recall()), "{}", misses.recall());
    let distractors = quality(&SynthConfig { saliency_distractors: 1.0, ..bare() });
    assert!(distractors.recall() == 1.0 && (0.3..0.95).contains(&distractors.precision()));
    let outlines = quality(&SynthConfig { saliency_coarseness: 0.15, ..bare() });
    assert!((0.5..0.95).contains(&outlines.recall()) && (0.5..0.97).contains(&outlines.precision()));
    let [some, all] = [0.6, 1.0].map(|saliency_error| quality(&SynthConfig { saliency_error, ..bare() }).iou());
    assert!((0.4..1.0).contains(&some) && all < 0.35, "{some} {all}");
}

// Small and faint ones are.
#[test]
fn large_and_clear_objects_are_not_missed() {
    let recall = |object_scale: [f64; 2]| {
        quality(&SynthConfig { object_scale, saliency_misses: 1.0, max_objects: 1, ..bare() }).recall()
    };
    let (small, large) = (recall([0.2, 0.25]), recall([0.9, 0.95]));
    assert!(small + 0.2 < large, "{small} of small ones, {large} of large ones");
}

#[test]
fn images_and_truth_do_not_depend_on_it() {
    let base = Generated::new(&small());
    let other = Generated::new(&SynthConfig { train: 10, ..bare() });
    for folder in ["JPEGImages", "SegmentationClass", "Annotations", "ImageSets", "classes.txt"] {
        assert!(base.files(folder) == other.files(folder), "{folder}");
    }
    assert!(base.files("saliency") != other.files("saliency"));
}
