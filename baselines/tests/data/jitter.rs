use candle_wsss::SeededSampler;
use candle_wsss_baselines::data::{Adjustment, Jitter};
use image::RgbImage;

use super::expected::{Expected, picture};

const PIXELS: [u8; 18] = [11, 55, 113, 185, 15, 115, 229, 101, 243, 143, 57, 241, 183, 139, 109, 93, 91, 103];

fn adjusted(pixels: &[u8; 18], adjustment: Adjustment) -> Vec<u8> {
    let mut image = RgbImage::from_raw(3, 2, pixels.to_vec()).unwrap();
    adjustment.apply(&mut image);
    image.into_raw()
}

#[test]
fn equals_pillow_and_torchvision() {
    let cases = Expected::of("13_0").jitter;
    assert!(cases.len() >= 40, "{} cases", cases.len());
    for case in cases {
        let [width, height] = case.size;
        let mut image = RgbImage::from_raw(width as u32, height as u32, picture(case.size, 3)).unwrap();
        for adjustment in case.adjustments() {
            adjustment.apply(&mut image);
        }
        case.result.assert_equal(image.as_raw(), height, &format!("{:?} after {:?}", case.size, case.adjustments()));
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
