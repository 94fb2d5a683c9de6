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

// The figures docs/embedded-data.md states.
#[test]
fn the_default_is_a_good_detector_with_faults() {
    let set = Generated::new(&SynthConfig::default());
    for split in ["train", "val"] {
        let images = counts(&set, split);
        let mean = images.iter().map(|counts| counts.iou()).sum::<f64>() / images.len() as f64;
        let all = pooled(&images);
        println!("{split}: mean {mean:.3} pooled {:.3} precision {:.3} recall {:.3}", all.iou(), all.precision(), all.recall());
        let mut ious: Vec<f64> = images.iter().map(|c| c.iou()).collect();
        ious.sort_by(f64::total_cmp);
        println!("{:.2?}", ious.iter().step_by(images.len()/20).collect::<Vec<_>>());
        assert!((0.6..0.75).contains(&mean), "{split}: {mean}");
    }
}
