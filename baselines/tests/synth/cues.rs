//! Every strength does what it says, and nothing else.

use candle_wsss_baselines::data::Dataset;
use candle_wsss_baselines::synth::SynthConfig;

use super::{Generated, small};

/// No nuisance: what is left is the cue under test.
fn bare() -> SynthConfig {
    SynthConfig {
        max_objects: 1,
        hue_noise: 0.0,
        brightness_noise: 0.0,
        clutter: 0.0,
        occlusion: 0.0,
        light: 0.0,
        noise: 0.0,
        ..small()
    }
}

/// Mean colour of the pixels of a class, or of the background (0), as a vector around gray.
fn mean_colour(set: &Generated, value: u8) -> [f64; 2] {
    let data = Dataset::open(&set.root(), "train").unwrap();
    let mut sum = [0f64; 3];
    for i in 0..data.len() {
        let (image, mask) = (data.image(i).unwrap(), data.mask(i).unwrap());
        for (pixel, _) in image.pixels().zip(&mask.data).filter(|(_, found)| **found == value) {
            for (sum, level) in sum.iter_mut().zip(pixel.0) {
                *sum += f64::from(level);
            }
        }
    }
    let [r, g, b] = sum;
    let length = (r + g + b).max(1.0);
    [(r - 0.5 * (g + b)) / length, 0.866 * (g - b) / length]
}

fn cosine(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[0] * b[0] + a[1] * b[1]) / (a[0].hypot(a[1]) * b[0].hypot(b[1]))
}

#[test]
fn body_evidence_moves_the_hues_of_a_pair_apart() {
    let cosine = |body_class_evidence: f64| {
        let set = Generated::new(&SynthConfig { classes: 2, body_class_evidence, part_contrast: 0.0, ..bare() });
        cosine(mean_colour(&set, 1), mean_colour(&set, 2))
    };
    let (none, half, full) = (cosine(0.0), cosine(0.5), cosine(1.0));
    assert!(none > 0.98 && half.abs() < 0.3 && full < -0.8, "{none} {half} {full}");
}

#[test]
fn the_context_follows_the_class_as_often_as_asked() {
    let usual = |context_cooccurrence: f64| {
        let config = SynthConfig { context_cooccurrence, train: 60, size: [48, 48], ..bare() };
        Generated::new(&config).summary.train.usual_context
    };
    assert_eq!(usual(1.0), 1.0);
    // Four contexts for eight classes: a quarter is chance.
    let chance = usual(0.0);
    assert!((0.1..0.42).contains(&chance), "{chance}");
}

#[test]
fn the_part_is_as_large_as_asked() {
    for part_share in [0.08, 0.13, 0.25] {
        let set = Generated::new(&SynthConfig { part_share, train: 24, size: [96, 96], ..bare() });
        let part = set.summary.train.part;
        assert!((part / part_share - 1.0).abs() < 0.25, "{part_share} asked, {part} got");
    }
}

type Change = fn(&mut SynthConfig);

#[test]
fn strengths_of_looks_leave_the_truth_alone() {
    let base = Generated::new(&small());
    let changes: [(&str, Change); 11] = [
        ("part_contrast", |c| c.part_contrast = 0.0),
        ("body_class_evidence", |c| c.body_class_evidence = 0.0),
        ("texture_evidence", |c| c.texture_evidence = 1.0),
        ("texture_contrast", |c| c.texture_contrast = 0.0),
        ("hue_noise", |c| c.hue_noise = 0.2),
        ("brightness_noise", |c| c.brightness_noise = 0.0),
        ("shading", |c| c.shading = 0.0),
        ("context_contrast", |c| c.context_contrast = 0.0),
        ("light", |c| c.light = 0.0),
        ("noise", |c| c.noise = 0.1),
        ("clutter", |c| c.clutter = 1.0),
    ];
    for (field, change) in changes {
        let mut config = small();
        change(&mut config);
        let changed = Generated::new(&config);
        assert!(changed.files("SegmentationClass") == base.files("SegmentationClass"), "{field} moves masks");
        assert!(changed.files("JPEGImages") != base.files("JPEGImages"), "{field} does nothing");
    }
}

#[test]
fn occlusion_hides_parts_of_objects() {
    let foreground = |occlusion: f64| {
        let config = SynthConfig { occlusion, train: 40, ..small() };
        Generated::new(&config).summary.train.foreground
    };
    let (open, hidden) = (foreground(0.0), foreground(1.0));
    assert!(hidden < 0.97 * open, "{open} open, {hidden} with things in front");
}

#[test]
fn noise_is_as_strong_as_asked() {
    let image = |noise: f64| {
        let set = Generated::new(&SynthConfig { noise, jpeg_quality: 100, ..bare() });
        Dataset::open(&set.root(), "train").unwrap().image(0).unwrap().into_raw()
    };
    let (clean, noisy) = (image(0.0), image(0.05));
    let squares = clean.iter().zip(&noisy).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2));
    let deviation = (squares.sum::<f64>() / clean.len() as f64).sqrt() / 255.0;
    assert!((deviation / 0.05 - 1.0).abs() < 0.15, "{deviation}");
}

#[test]
fn pictures_are_balanced_over_the_classes() {
    let set = Generated::new(&SynthConfig { train: 40, ..bare() });
    assert_eq!(set.summary.train.images_per_class, [5; 8]);
    assert_eq!(set.summary.train.objects, 40);
}
