use candle_wsss_baselines::data::{Filter, PassOrder, resize, resize_in_order};
use image::{GrayImage, Luma, RgbImage};

use super::expected::{Expected, picture};

fn ramp(width: u32, height: u32) -> GrayImage {
    GrayImage::from_raw(width, height, bytes((width * height) as usize)).unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * i * 7 + i * 37 + 11) % 256) as u8).collect()
}

/// Compares every stored result with ours, in colour and gray.
fn assert_equals_pillow(version: &str, order: PassOrder) {
    let cases = Expected::of(version).resize;
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in cases {
        let ([old_width, old_height], [width, height]) = (case.from.map(|side| side as u32), case.to);
        let pixels = picture(case.from, case.channels);
        let got = if case.channels == 3 {
            let image = RgbImage::from_raw(old_width, old_height, pixels).unwrap();
            resize_in_order(&image, width, height, case.filter, order).into_raw()
        } else {
            let image = GrayImage::from_raw(old_width, old_height, pixels).unwrap();
            resize_in_order(&image, width, height, case.filter, order).into_raw()
        };
        let kind = (case.channels, case.filter, order);
        case.result.assert_equal(&got, height, &format!("{:?} to {:?}, {kind:?}", case.from, case.to));
    }
}

#[test]
fn equals_pillow_of_the_references() {
    assert_equals_pillow("9_5", PassOrder::RowsFirst);
}

#[test]
fn equals_pillow_13() {
    assert_equals_pillow("13_0", PassOrder::Pillow13);
}

#[test]
fn the_order_of_passes_matters_only_where_pillow_13_swaps() {
    // Width and height shrink by (7, 9), (4, 8), (4, 9), (-1, -1), (-1, 1) and (0, 3).
    for ((old, new), swaps) in [
        (([19, 20], [12, 11]), false),
        (([19, 20], [15, 12]), false),
        (([19, 20], [15, 11]), true),
        (([19, 20], [20, 21]), false),
        (([19, 20], [20, 19]), true),
        (([19, 20], [19, 17]), false),
    ] {
        let image = ramp(old[0], old[1]);
        let [rows_first, as_13] = [PassOrder::RowsFirst, PassOrder::Pillow13]
            .map(|order| resize_in_order(&image, new[0], new[1], Filter::Bicubic, order));
        assert_eq!(rows_first != as_13, swaps, "{old:?} to {new:?}");
        assert_eq!(resize(&image, new[0], new[1], Filter::Bicubic), rows_first);
    }
}

#[test]
fn an_empty_image_or_size_is_no_panic() {
    let empty = RgbImage::new(0, 3);
    assert_eq!(resize(&empty, 2, 2, Filter::Bicubic), RgbImage::new(2, 2));
    assert_eq!(resize(&ramp(3, 3), 0, 0, Filter::Bicubic).dimensions(), (1, 1));
}

#[test]
fn equals_the_mean_by_hand() {
    let row = GrayImage::from_raw(4, 1, vec![10, 20, 60, 100]).unwrap();
    // Twice as small: weights 3, 3, 1 of the three inputs in reach, the fourth is beyond the edge.
    let halves = [(3 * 10 + 3 * 20 + 60) as f64 / 7.0, (20 + 3 * 60 + 3 * 100) as f64 / 7.0];
    assert_eq!(resize(&row, 2, 1, Filter::Bilinear).as_raw(), &halves.map(|value| value.round() as u8));
    // Four times: weights 5, 7, 7, 5.
    let mean = (5 * 10 + 7 * 20 + 7 * 60 + 5 * 100) as f64 / 24.0;
    assert_eq!(resize(&row, 1, 1, Filter::Bilinear).as_raw(), &[mean.round() as u8]);
}

#[test]
fn a_constant_stays_constant() {
    for value in [0, 1, 127, 254, 255] {
        let image = GrayImage::from_pixel(13, 9, Luma([value]));
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for (width, height) in [(5, 4), (40, 31), (13, 30), (1, 1), (200, 1)] {
                let got = resize(&image, width, height, filter);
                assert_eq!(got.dimensions(), (width as u32, height as u32));
                assert!(got.pixels().all(|pixel| pixel[0] == value), "{value} to {width}x{height}, {filter:?}");
            }
        }
    }
}

#[test]
fn the_same_size_is_the_same_image() {
    let image = ramp(11, 6);
    for filter in [Filter::Bilinear, Filter::Bicubic] {
        assert_eq!(resize(&image, 11, 6, filter), image);
    }
}
