use candle_wsss::{Normalization, Sampler as _, SeededSampler};
use candle_wsss_baselines::data::{
    Adjustment, Augmentation, Jitter, LoaderConfig, Resampling, ResizeMode, ResizeTo, Sample,
};
use image::{GrayImage, Luma, Rgb, RgbImage};

use super::expected::{Expected, picture};

/// So that pixel values come out as they went in, and 0 is outside.
const PLAIN: Normalization = Normalization { mean: [0.0; 3], std: [1.0 / 255.0; 3] };

fn plain(long_side: usize, crop: usize, offset: [f64; 2]) -> Augmentation {
    let (resize, resampling) = (ResizeTo::LongSide(long_side), Resampling::default());
    Augmentation { resize, resampling, flip: false, adjustments: Vec::new(), crop, offset }
}

fn image(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| Rgb([(1 + x + y * width) as u8, x as u8, y as u8]))
}

fn red_map(image: &RgbImage) -> GrayImage {
    GrayImage::from_fn(image.width(), image.height(), |x, y| Luma([image.get_pixel(x, y)[0]]))
}

fn red(sample: &Sample) -> Vec<u8> {
    sample.image[..sample.image.len() / 3].iter().map(|value| value.round() as u8).collect()
}

#[test]
fn cuts_a_window_out_of_a_larger_image() {
    let image = image(6, 4);
    for (offset, left, top) in [([0.0, 0.0], 0, 0), ([0.5, 0.4], 2, 0), ([0.99, 0.99], 3, 1)] {
        let sample = plain(6, 3, offset).apply(&image, None, PLAIN);
        let expected: Vec<u8> = (0..9).map(|i| image.get_pixel(left + i % 3, top + i / 3)[0]).collect();
        assert_eq!(red(&sample), expected, "{offset:?}");
        assert!(sample.saliency.is_none());
    }
}

#[test]
fn places_a_smaller_image_in_the_mean_colour() {
    let image = image(3, 2);
    let sample = plain(3, 5, [0.5, 0.99]).apply(&image, Some(&red_map(&image)), PLAIN);
    #[rustfmt::skip]
    let expected = [
        0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,
        0, 0, 0, 0, 0,
        0, 1, 2, 3, 0,
        0, 4, 5, 6, 0,
    ];
    assert_eq!(red(&sample), expected);
    let saliency: Vec<u8> = sample.saliency.unwrap().iter().map(|value| (255.0 * value).round() as u8).collect();
    assert_eq!(saliency, expected);
    // Normalised as usual, the rest is 0 too: the mean colour.
    let sample = plain(3, 5, [0.5, 0.99]).apply(&image, None, Normalization::IMAGENET);
    assert!(sample.image[..15].iter().all(|value| *value == 0.0));
}

#[test]
fn one_side_may_be_cut_while_the_other_is_padded() {
    let image = image(6, 2);
    let sample = plain(6, 3, [0.99, 0.0]).apply(&image, None, PLAIN);
    assert_eq!(red(&sample), [4, 5, 6, 10, 11, 12, 0, 0, 0]);
}

#[test]
fn normalises_each_channel() {
    let image = RgbImage::from_pixel(2, 2, Rgb([255, 0, 51]));
    let sample = plain(2, 2, [0.0, 0.0]).apply(&image, None, Normalization::IMAGENET);
    let expected = [(1.0 - 0.485) / 0.229, -0.456 / 0.224, (0.2 - 0.406) / 0.225];
    for (channel, expected) in expected.into_iter().enumerate() {
        for value in &sample.image[4 * channel..4 * (channel + 1)] {
            assert!((f64::from(*value) - expected).abs() < 1e-6, "channel {channel}");
        }
    }
}

#[test]
fn saliency_stays_in_step() {
    let image = image(12, 9);
    let map = red_map(&image);
    for flip in [false, true] {
        for offset in [[0.0, 0.0], [0.7, 0.3], [0.9, 0.9]] {
            for crop in [7, 15] {
                let augmentation = Augmentation { flip, ..plain(12, crop, offset) };
                let sample = augmentation.apply(&image, Some(&map), PLAIN);
                let saliency = sample.saliency.as_ref().unwrap();
                let levels: Vec<u8> = saliency.iter().map(|value| (255.0 * value).round() as u8).collect();
                assert_eq!(levels, red(&sample), "flip {flip}, crop {crop} at {offset:?}");
                let filled = red(&sample).iter().filter(|value| **value > 0).count();
                assert_eq!(filled, crop.min(12) * crop.min(9));
            }
        }
    }
}

#[test]
fn flipping_is_mirroring() {
    let image = image(5, 5);
    let straight = red(&plain(5, 5, [0.0, 0.0]).apply(&image, None, PLAIN));
    let flipped = red(&Augmentation { flip: true, ..plain(5, 5, [0.0, 0.0]) }.apply(&image, None, PLAIN));
    for (row, mirrored) in straight.chunks_exact(5).zip(flipped.chunks_exact(5)) {
        assert_eq!(row.iter().rev().copied().collect::<Vec<_>>(), mirrored);
    }
}

#[test]
fn resizing_keeps_the_aspect_ratio() {
    // Measured by how much of a large square a white image fills; 0.5 rounds to even.
    for (width, height, long, expected) in [
        (40, 20, 30, (30, 15)),
        (20, 40, 30, (15, 30)),
        (40, 40, 7, (7, 7)),
        (40, 10, 10, (10, 2)),
        (40, 10, 14, (14, 4)),
        (90, 1, 20, (20, 1)),
    ] {
        let image = RgbImage::from_pixel(width, height, Rgb([255; 3]));
        let filled = red(&plain(long, 32, [0.0, 0.0]).apply(&image, None, PLAIN));
        let columns = filled[..32].iter().filter(|value| **value == 255).count();
        let rows = filled.chunks_exact(32).filter(|row| row[0] == 255).count();
        assert_eq!((columns, rows), expected, "{width}x{height} to {long}");
    }
}

#[test]
fn draws_cover_their_ranges() {
    let config = LoaderConfig { long_side: [3, 6], crop: 4, ..LoaderConfig::default() };
    let draws: Vec<Augmentation> =
        (0..200).map(|seed| Augmentation::draw(&config, &SeededSampler::new(seed)).unwrap()).collect();
    let sides = 3..=6;
    for side in sides.clone() {
        assert!(draws.iter().any(|draw| draw.resize == ResizeTo::LongSide(side)), "{side} never drawn");
    }
    let in_range = |draw: &Augmentation| matches!(draw.resize, ResizeTo::LongSide(side) if sides.contains(&side));
    assert!(draws.iter().all(|draw| in_range(draw) && draw.crop == 4));
    let flips = draws.iter().filter(|draw| draw.flip).count();
    assert!((70..130).contains(&flips), "{flips} of 200 flipped");
    assert!(draws.iter().all(|draw| draw.adjustments.len() == 4));
}

#[test]
fn what_is_switched_off_shifts_no_other_draw() {
    let on = LoaderConfig { long_side: [3, 60], ..LoaderConfig::default() };
    let off = LoaderConfig { flip: false, jitter: None, ..on.clone() };
    for seed in 0..20 {
        let sampler = SeededSampler::new(seed);
        let (on, off) = (Augmentation::draw(&on, &sampler).unwrap(), Augmentation::draw(&off, &sampler).unwrap());
        assert_eq!((on.resize, on.offset), (off.resize, off.offset));
        assert!(!off.flip && off.adjustments.is_empty());
    }
    // And the draws of the colours are those of the jitter's own scope.
    let sampler = SeededSampler::new(1);
    let expected = Jitter::default().draw(&*sampler.fork("jitter")).unwrap();
    assert_eq!(Augmentation::draw(&on, &sampler).unwrap().adjustments, expected);
}

#[test]
fn equals_the_pipeline_of_the_references() {
    let cases = Expected::of("13_0").pipeline;
    assert!(!cases.is_empty());
    for case in cases {
        let [width, height] = case.size.map(|side| side as u32);
        let image = RgbImage::from_raw(width, height, picture(case.size, 3)).unwrap();
        let saliency = GrayImage::from_raw(width, height, picture(case.size, 1)).unwrap();
        let resize = ResizeTo::LongSide(case.resized[0].max(case.resized[1]));
        assert_eq!(resize.size_of(case.size), case.resized);
        // The middle of the stretch of numbers that give this place.
        let offset =
            |place: i64, side: usize| (place.unsigned_abs() as f64 + 0.5) / (side.abs_diff(case.crop) + 1) as f64;
        let augmentation = Augmentation {
            resize,
            resampling: Resampling::default(),
            flip: case.flip,
            adjustments: case.adjustments(),
            crop: case.crop,
            offset: [offset(case.left, case.resized[0]), offset(case.top, case.resized[1])],
        };
        let sample = augmentation.apply(&image, Some(&saliency), Normalization::IMAGENET);
        let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        case.image.assert_equal(&bytes(&sample.image), 3 * case.crop, &format!("image, {augmentation:?}"));
        let saliency = sample.saliency.unwrap();
        case.saliency.assert_equal(&bytes(&saliency), case.crop, &format!("saliency, {augmentation:?}"));
    }
}

#[test]
fn a_square_is_squashed_and_not_cropped() {
    let config =
        LoaderConfig { resize: ResizeMode::Square, crop: 5, flip: false, jitter: None, ..LoaderConfig::default() };
    for seed in 0..10 {
        let draw = Augmentation::draw(&config, &SeededSampler::new(seed)).unwrap();
        assert_eq!((draw.resize, draw.flip, draw.adjustments.len()), (ResizeTo::Square(5), false, 0));
        let image = RgbImage::from_fn(12, 5, |x, y| Rgb([(x * 20 + y) as u8, 1, 2]));
        let expected = candle_wsss_baselines::data::resize(&image, 5, 5, draw.resampling.image);
        let expected: Vec<u8> = expected.pixels().map(|pixel| pixel[0]).collect();
        assert_eq!(red(&draw.apply(&image, None, PLAIN)), expected, "whatever the offset is");
    }
}

#[test]
fn colours_of_a_crop_are_those_of_the_whole_image() {
    // Contrast looks at the whole image, wherever in the order it comes, and twice as well.
    let image = RgbImage::from_fn(20, 14, |x, y| Rgb([(x * 12) as u8, (y * 17) as u8, (200 - x * y / 2) as u8]));
    let (c, s, h) = (Adjustment::Contrast(0.6), Adjustment::Saturation(1.4), Adjustment::Hue(0.11));
    for adjustments in [vec![c, s], vec![s, c], vec![h, c, s], vec![c, h, c, s], vec![s, h]] {
        let mut whole = image.clone();
        adjustments.iter().for_each(|adjustment| adjustment.apply(&mut whole));
        let after = plain(20, 6, [0.7, 0.2]).apply(&whole, None, PLAIN);
        let before = Augmentation { adjustments, ..plain(20, 6, [0.7, 0.2]) }.apply(&image, None, PLAIN);
        assert_eq!(before, after);
    }
}
