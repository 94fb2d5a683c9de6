use candle_wsss::SeededSampler;
use candle_wsss_baselines::data::{Adjustment, Jitter};
use image::RgbImage;

const PIXELS: [u8; 18] = [11, 55, 113, 185, 15, 115, 229, 101, 243, 143, 57, 241, 183, 139, 109, 93, 91, 103];

fn adjusted(pixels: &[u8; 18], adjustment: Adjustment) -> Vec<u8> {
    let mut image = RgbImage::from_raw(3, 2, pixels.to_vec()).unwrap();
    adjustment.apply(&mut image);
    image.into_raw()
}

#[test]
fn equals_pillow_and_torchvision() {
    // Pillow 9.5: `ImageEnhance` of the same factor; the hue as torchvision's `adjust_hue` on a Pillow image.
    let cases: [(Adjustment, [u8; 18]); 8] = [
        (Adjustment::Brightness(0.7), [7, 38, 79, 129, 10, 80, 160, 70, 170, 100, 39, 168, 128, 97, 76, 65, 63, 72]),
        (
            Adjustment::Brightness(1.3),
            [14, 71, 146, 240, 19, 149, 255, 131, 255, 185, 74, 255, 237, 180, 141, 120, 118, 133],
        ),
        (
            Adjustment::Contrast(0.7),
            [38, 69, 110, 160, 41, 111, 191, 101, 201, 131, 71, 199, 159, 128, 107, 96, 94, 103],
        ),
        (Adjustment::Contrast(1.3), [0, 40, 115, 209, 0, 118, 255, 100, 255, 154, 42, 255, 206, 149, 110, 89, 87, 102]),
        (
            Adjustment::Saturation(0.7),
            [22, 52, 93, 152, 33, 103, 206, 117, 216, 131, 71, 199, 172, 142, 121, 93, 91, 100],
        ),
        (Adjustment::Saturation(1.3), [0, 57, 132, 217, 0, 126, 251, 84, 255, 154, 42, 255, 193, 136, 97, 93, 90, 106]),
        (Adjustment::Hue(0.1), [25, 11, 113, 185, 15, 15, 243, 101, 175, 241, 58, 235, 183, 182, 109, 100, 91, 103]),
        (Adjustment::Hue(-0.1), [11, 113, 109, 155, 15, 185, 144, 101, 243, 58, 84, 241, 183, 109, 121, 91, 96, 103]),
    ];
    for (adjustment, expected) in cases {
        assert_eq!(adjusted(&PIXELS, adjustment), expected, "{adjustment:?}");
    }
}

#[test]
fn factor_one_changes_nothing_and_factor_zero_takes_everything() {
    for adjustment in [Adjustment::Brightness(1.0), Adjustment::Contrast(1.0), Adjustment::Saturation(1.0)] {
        assert_eq!(adjusted(&PIXELS, adjustment), PIXELS, "{adjustment:?}");
    }
    assert!(adjusted(&PIXELS, Adjustment::Brightness(0.0)).iter().all(|value| *value == 0));
    let gray = adjusted(&PIXELS, Adjustment::Saturation(0.0));
    assert!(gray.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
    let flat = adjusted(&PIXELS, Adjustment::Contrast(0.0));
    assert!(flat.iter().all(|value| *value == flat[0]));
}

#[test]
fn grays_have_no_hue_to_turn() {
    let grays: [u8; 18] = std::array::from_fn(|i| (i / 3 * 50) as u8);
    assert_eq!(adjusted(&grays, Adjustment::Hue(0.3)), grays);
}

#[test]
fn draws_stay_in_range_and_come_in_every_order() {
    let jitter = Jitter { brightness: 0.5, contrast: 2.0, saturation: 0.25, hue: 0.125 };
    let mut orders = std::collections::BTreeSet::new();
    for seed in 0..400 {
        let draw = jitter.draw(&SeededSampler::new(seed)).unwrap();
        let mut order = Vec::new();
        for adjustment in draw {
            let (which, value, range) = match adjustment {
                Adjustment::Brightness(factor) => (0, factor, 0.5..=1.5),
                Adjustment::Contrast(factor) => (1, factor, 0.0..=3.0),
                Adjustment::Saturation(factor) => (2, factor, 0.75..=1.25),
                Adjustment::Hue(turn) => (3, turn, -0.125..=0.125),
            };
            assert!(range.contains(&value), "{adjustment:?}");
            order.push(which);
        }
        assert_eq!(order.len(), 4);
        orders.insert(order);
    }
    assert_eq!(orders.len(), 24);
}

#[test]
fn strength_zero_leaves_it_out() {
    let jitter = Jitter { contrast: 0.0, hue: 0.0, ..Jitter::default() };
    for seed in 0..20 {
        let draw = jitter.draw(&SeededSampler::new(seed)).unwrap();
        assert_eq!(draw.len(), 2);
        assert!(!draw.iter().any(|a| matches!(a, Adjustment::Contrast(_) | Adjustment::Hue(_))));
    }
}

#[test]
fn bad_strengths_are_named() {
    let hue = Jitter { hue: 0.6, ..Jitter::default() }.validate().unwrap_err().to_string();
    assert_eq!(hue, "config field `jitter.hue`: must be 0 to 0.5, is 0.6");
    let contrast = Jitter { contrast: f64::NAN, ..Jitter::default() }.validate().unwrap_err().to_string();
    assert_eq!(contrast, "config field `jitter.contrast`: must be 0 or more, is NaN");
}
