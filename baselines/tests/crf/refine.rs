//! One image: what enters the CRF, and what is made of what comes out.

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{DenseCrf, DenseCrfConfig};
use candle_wsss_baselines::crf::{
    Background, ColourOrder, CrfConfig, CrfLabels, SaliencyRules, SeedRefiner, refine_seeds, refine_seeds_with_saliency,
};
use candle_wsss_baselines::infer::SeedMaps;
use image::{GrayImage, Luma, RgbImage};

use crate::fixture::Fixture;

/// A fixture's image and maps, the maps of the classes it names.
fn stored(case: &Fixture) -> (RgbImage, SeedMaps) {
    let (image, cam) = (case.raw("img"), case.raw("cam"));
    let (h, w, _) = image.dims3().unwrap();
    let bytes = image.flatten_all().unwrap().to_vec1::<u8>().unwrap();
    let cam = cam.to_dtype(DType::F32).unwrap();
    let classes = (0..cam.dim(0).unwrap()).map(|class| class * 3 + 2).collect();
    let maps = cam.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let image = RgbImage::from_raw(w as u32, h as u32, bytes).unwrap();
    (image, SeedMaps::new(classes, h, w, maps).unwrap())
}

#[test]
fn soft_seeds_become_the_released_labels() {
    for case in Fixture::with_prefix("crf_softmax") {
        let (image, seeds) = stored(&case);
        for alpha in [4.0, 24.0] {
            let config = CrfConfig::seam(alpha);
            let mask = refine_seeds(&image, &seeds, &config).unwrap();
            let want = case.raw(&format!("argmax_alpha{alpha}")).flatten_all().unwrap().to_vec1::<u8>().unwrap();
            let palette = [0, 3, 6];
            let equal = mask.data.iter().zip(&want).filter(|(got, want)| **got == palette[usize::from(**want)]).count();
            assert!(equal as f64 >= 0.999 * want.len() as f64, "{} {alpha}: {equal} of {}", case.name, want.len());

            let posterior = SeedRefiner::new(config).unwrap().posterior(&image, &seeds).unwrap();
            let want = case.tensor(&format!("q_alpha{alpha}")).flatten_all().unwrap().to_vec1::<f64>().unwrap();
            let got = posterior.background.iter().chain(posterior.classes.maps());
            let far = got.zip(&want).filter(|(got, want)| (f64::from(**got) - **want).abs() > 1e-4).count();
            assert!(far == 0 && posterior.classes.classes() == seeds.classes(), "{}: {far}", case.name);
        }
    }
}

fn noisy(h: usize, w: usize) -> (RgbImage, SeedMaps) {
    let image = RgbImage::from_fn(w as u32, h as u32, |x, y| {
        let level = if x < w as u32 / 2 { 40 } else { 180 };
        image::Rgb([level + (x * 7 + y * 5) as u8 % 11, level, level / 2 + (y % 5) as u8])
    });
    let maps = (0..2 * h * w).map(|i| {
        let (class, x) = (i / (h * w), i % w);
        let inside = (x >= w / 2) == (class == 1);
        let noise = (i * 2_654_435_761 % 1000) as f32 / 1000.0;
        if inside { 0.3 + 0.6 * noise } else { 0.5 * noise }
    });
    (image, SeedMaps::new(vec![1, 4], h, w, maps.collect()).unwrap())
}

#[test]
fn labels_enter_as_the_operation_takes_them() {
    let (image, seeds) = noisy(20, 24);
    let tensor = Tensor::from_vec(image.as_raw().clone(), (20, 24, 3), &Device::Cpu).unwrap();
    let given: Vec<u32> = seeds.labels(0.26).into_iter().map(u32::from).collect();
    let given = Tensor::from_vec(given, (20, 24), &Device::Cpu).unwrap();
    for num_classes in [5usize, 20, 80] {
        let config = CrfConfig { num_classes: Some(num_classes), ..CrfConfig::ppc_labels() };
        let got = refine_seeds(&image, &seeds, &config).unwrap().data;
        let crf = DenseCrf::new(&tensor, &DenseCrfConfig::hsc_labels()).unwrap();
        let want = crf.refine_labels(&given, num_classes + 1).unwrap().flatten_all().unwrap().to_vec1::<u32>().unwrap();
        assert!(got.iter().zip(&want).all(|(got, want)| u32::from(*got) == *want));
        // Two halves, each cleaned up.
        assert!([2, 5].iter().all(|label| got.iter().filter(|got| *got == label).count() > 150));
    }
    let few = CrfConfig { num_classes: Some(4), ..CrfConfig::ppc_labels() };
    assert!(refine_seeds(&image, &seeds, &few).unwrap_err().to_string().contains("must be below 4, one is 4"));
}

#[test]
fn absent_classes_take_nothing_from_present_ones() {
    let (image, seeds) = noisy(16, 22);
    let all = CrfConfig { labels: CrfLabels::DataSet, num_classes: Some(9), ..CrfConfig::seam(4.0) };
    let mask = refine_seeds(&image, &seeds, &all).unwrap();
    assert!(mask.data.iter().all(|label| [0, 2, 5].contains(label)));
    let posterior = SeedRefiner::new(all).unwrap().posterior(&image, &seeds).unwrap();
    let present = SeedRefiner::new(CrfConfig::seam(4.0)).unwrap().posterior(&image, &seeds).unwrap();
    for (one, other) in posterior.classes.maps().iter().zip(present.classes.maps()) {
        assert!((one - other).abs() < 1e-2);
    }
    // Colours the other way round are the same kernel, approximated a little differently.
    let bgr = CrfConfig { colours: ColourOrder::Bgr, ..CrfConfig::seam(4.0) };
    let bgr = refine_seeds(&image, &seeds, &bgr).unwrap();
    let rgb = refine_seeds(&image, &seeds, &CrfConfig::seam(4.0)).unwrap();
    assert!(bgr.data.iter().zip(&rgb.data).filter(|(a, b)| a != b).count() < 8);
}

#[test]
fn saliency_opens_what_contradicts_it() {
    // Far apart in colour and certain of themselves: the CRF changes nothing, so the rules are all there is to see.
    let image = RgbImage::from_fn(6, 1, |x, _| image::Rgb([(x * 50) as u8, 255 - (x * 50) as u8, 0]));
    let seeds = SeedMaps::new(vec![0], 1, 6, vec![1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).unwrap();
    let levels = [255u8, 0, 20, 0, 31, 32];
    let saliency = GrayImage::from_fn(6, 1, |x, _| Luma([levels[x as usize]]));
    let model = DenseCrfConfig { iterations: 1, ..DenseCrfConfig::seam_soft() };
    let config = CrfConfig { model, ..CrfConfig::rca() };
    let mask = refine_seeds_with_saliency(&image, &seeds, &saliency, &config).unwrap();
    // Class; class and background both certain, twice; background; not salient enough; salient, but background.
    assert_eq!(mask.data, [1, 255, 255, 0, 0, 255]);
    let rules = SaliencyRules { min_foreground: 0.2, ..SaliencyRules::default() };
    let strict = CrfConfig { background: Background::Saliency(rules), ..config.clone() };
    assert_eq!(refine_seeds_with_saliency(&image, &seeds, &saliency, &strict).unwrap().data, [255; 6]);

    let message = refine_seeds(&image, &seeds, &config).unwrap_err().to_string();
    assert!(message.contains("saliency map"), "{message}");
    let other = GrayImage::new(1, 6);
    assert!(refine_seeds_with_saliency(&image, &seeds, &other, &config).is_err());
}

#[test]
fn images_without_classes_or_pixels() {
    let image = RgbImage::new(3, 2);
    let none = SeedMaps::new(vec![], 2, 3, vec![]).unwrap();
    let empty = SeedMaps::new(vec![3], 0, 0, vec![]).unwrap();
    for config in [CrfConfig::seam(4.0), CrfConfig::ppc_labels(), CrfConfig::eps_labels(), CrfConfig::hsc()] {
        assert_eq!(refine_seeds(&image, &none, &config).unwrap().data, [0; 6]);
        assert!(refine_seeds(&RgbImage::new(0, 0), &empty, &config).unwrap().data.is_empty());
    }
    let dark = GrayImage::new(3, 2);
    assert_eq!(refine_seeds_with_saliency(&image, &none, &dark, &CrfConfig::rca()).unwrap().data, [255; 6]);
    let wrong = SeedMaps::new(vec![3], 3, 2, vec![0.5; 6]).unwrap();
    let message = refine_seeds(&image, &wrong, &CrfConfig::default()).unwrap_err().to_string();
    assert_eq!(message, "seeds: expected 2 x 3 (height x width) as the image, got 3 x 2");
}

#[test]
fn constants_out_of_range_are_named() {
    let named = |config: CrfConfig, field: &str| {
        let message = SeedRefiner::new(config).unwrap_err().to_string();
        assert!(message.contains(&format!("`crf.{field}`")), "{message}");
    };
    named(CrfConfig::seam(0.0), "background.power.alpha");
    named(CrfConfig::seam(f64::NAN), "background.power.alpha");
    let score = Background::Score { score: -0.1 };
    named(CrfConfig { background: score, ..CrfConfig::ppc_labels() }, "background.score.score");
    let rules = SaliencyRules { confident_above: 2.0, ..SaliencyRules::default() };
    named(
        CrfConfig { background: Background::Saliency(rules), ..CrfConfig::rca() },
        "background.saliency.confident_above",
    );
    let model = DenseCrfConfig { bilateral_srgb: 0.0, ..DenseCrfConfig::seam_soft() };
    named(CrfConfig { model, ..CrfConfig::default() }, "model.bilateral_srgb");
}
