use candle_wsss_baselines::data::{Filter, resize};
use image::{GrayImage, Luma, RgbImage};

fn ramp(width: u32, height: u32) -> GrayImage {
    GrayImage::from_raw(width, height, bytes((width * height) as usize)).unwrap()
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * i * 7 + i * 37 + 11) % 256) as u8).collect()
}

/// Size before and after, filter, result.
type Case = ((u32, u32), (usize, usize), Filter, &'static [u8]);

#[test]
fn equals_pillow() {
    // Pillow 9.5, `Image.fromarray(a).resize((width, height), filter)` with `a` as in `bytes`.
    let cases: [Case; 6] = [
        ((7, 5), (4, 3), Filter::Bilinear, &[90, 129, 124, 167, 110, 118, 141, 180, 96, 180, 158, 153]),
        ((7, 5), (4, 3), Filter::Bicubic, &[89, 131, 121, 169, 114, 113, 139, 185, 88, 186, 157, 152]),
        (
            (4, 3),
            (7, 5),
            Filter::Bilinear,
            &[
                11, 27, 52, 84, 118, 159, 185, 13, 37, 74, 119, 159, 154, 151, 15, 51, 108, 172, 220, 147, 101, 152,
                145, 133, 129, 130, 164, 185, 243, 207, 150, 100, 70, 175, 241,
            ],
        ),
        (
            (4, 3),
            (7, 5),
            Filter::Bicubic,
            &[
                8, 21, 47, 74, 110, 167, 199, 0, 21, 69, 123, 164, 156, 149, 7, 41, 107, 186, 227, 144, 91, 165, 155,
                137, 123, 125, 168, 193, 255, 229, 153, 74, 51, 185, 255,
            ],
        ),
        (
            (5, 4),
            (3, 6),
            Filter::Bilinear,
            &[30, 116, 88, 97, 139, 137, 159, 165, 175, 141, 182, 133, 114, 146, 137, 92, 106, 152],
        ),
        (
            (5, 4),
            (3, 6),
            Filter::Bicubic,
            &[16, 121, 84, 91, 142, 139, 167, 172, 182, 144, 196, 125, 111, 148, 133, 88, 98, 156],
        ),
    ];
    for ((old_width, old_height), (width, height), filter, expected) in cases {
        let got = resize(&ramp(old_width, old_height), width, height, filter);
        assert_eq!(got.as_raw(), expected, "{old_width}x{old_height} to {width}x{height}, {filter:?}");
    }
}

#[test]
fn equals_pillow_in_colour() {
    let image = RgbImage::from_raw(3, 2, bytes(18)).unwrap();
    let expected = [64, 35, 103, 227, 66, 204, 116, 63, 152, 174, 90, 149, 167, 91, 201, 120, 114, 94];
    assert_eq!(resize(&image, 2, 3, Filter::Bicubic).as_raw(), &expected);
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
