//! The regularizer's share of a whole released training step: seeds, CRF, the three levels, gradients of the maps.

use candle_core::{DType, Tensor, Var};
use candle_wsss::ops::{Corners, DenseCrfConfig, resize_bilinear};
use candle_wsss::regularizer::hsc::{HscBanks, HscConfig, HscMaps, HscSeeds, evaluate};
use candle_wsss::seed::{Refine, crf_image};
use candle_wsss::{Pair, View};

use super::inputs::numbers;
use super::parity::{
    SCALAR, TENSOR, banks, check_class_vectors, check_pixel_vectors, check_region_vectors, class_config, image_labels,
    labels, pair, pixel_config, roi_config,
};
use crate::common::fixture::Fixture;

fn config(case: &Fixture) -> HscConfig {
    let grid = case.count("grid");
    HscConfig {
        background_score: case.constant("bg_thres"),
        grid: (grid, grid),
        refine: Refine::DenseCrf(DenseCrfConfig {
            iterations: case.count("crf.t"),
            gt_prob: case.constant("crf.gt_prob"),
            gaussian_sxy: case.constant("crf.sxy_gauss"),
            gaussian_compat: case.constant("crf.compat_gauss"),
            bilateral_sxy: case.constant("crf.sxy_bilateral"),
            bilateral_srgb: case.constant("crf.srgb"),
            bilateral_compat: case.constant("crf.compat_bilateral"),
            ..DenseCrfConfig::hsc_labels()
        }),
        roi: roi_config(case),
        class: class_config(case),
        pixel: pixel_config(case, grid * grid),
        ..HscConfig::default()
    }
}

fn target_view(case: &Fixture) -> View {
    let size = case.count("view2_image");
    View::new(resize_bilinear(&case.tensor("img"), (size, size), Corners::Aligned).unwrap()).unwrap()
}

fn agreement(got: &Tensor, want: &Tensor) -> f64 {
    let (got, want) = (numbers(got), numbers(want));
    assert_eq!(got.len(), want.len());
    got.iter().zip(&want).filter(|(got, want)| got == want).count() as f64 / got.len() as f64
}

#[test]
fn seeds_are_the_released_ones() {
    for case in Fixture::with_prefix("hsc_train_step") {
        let labels = image_labels(&case);
        let cams = pair(&case, |view| format!("cam_rv{view}"));
        let view = target_view(&case);
        let image = crf_image(&view, config(&case).grid).unwrap();
        assert_eq!(numbers(&image), numbers(&case.tensor("img_u8")), "{}", case.name);

        let raw = HscConfig { refine: Refine::None, ..config(&case) };
        let seeds = HscSeeds::new(cams.as_ref(), &view, &labels, &raw).unwrap();
        case.check("norm_cam1", &seeds.scores.source, TENSOR);
        case.check("norm_cam2", &seeds.scores.target, TENSOR);
        case.check("pseudo_label1", &seeds.labels.source, 0.0);
        case.check("pseudo_label2", &seeds.labels.target, 0.0);

        let refined = HscSeeds::new(cams.as_ref(), &view, &labels, &config(&case)).unwrap().labels;
        let pairs = refined.as_ref().zip(seeds.labels.as_ref());
        for (view, (refined, raw)) in [(1, pairs.source), (2, pairs.target)] {
            let want = case.tensor(&format!("pseudo_label_crf{view}"));
            let (before, after) = (agreement(raw, &want), agreement(refined, &want));
            assert!(before < 1.0, "{}, view {view}: the CRF changes nothing", case.name);
            // Where two labels are equal to a few units of the last place, rounding decides.
            assert!(after >= 0.995, "{}, view {view}: {after} of the labels agree", case.name);
        }
    }
}

#[test]
fn levels_are_the_released_ones() {
    for case in Fixture::with_prefix("hsc_train_step") {
        let config = config(&case);
        let image_labels = image_labels(&case);
        // Scores made here, not those of the file: those are rounded to float32, and rounding makes ties.
        let raw = HscConfig { refine: Refine::None, ..config.clone() };
        let cams = pair(&case, |view| format!("cam_rv{view}"));
        let HscSeeds { scores, .. } = HscSeeds::new(cams.as_ref(), &target_view(&case), &image_labels, &raw).unwrap();
        let seeds = HscSeeds { scores, labels: labels(&case, |view| format!("pseudo_label_crf{view}")) };
        let leaf = |name: String| Var::from_tensor(&case.tensor(&name)).unwrap();
        let vars = Pair::new(1, 2).map(|view| (leaf(format!("feat{view}_1")), leaf(format!("feat{view}_2"))));
        let maps = vars
            .as_ref()
            .map(|(pixel, region)| HscMaps { pixel: pixel.as_tensor().clone(), region: region.as_tensor().clone() });
        let banks = HscBanks {
            roi: banks(&case, "memobank_fb", "memobank1_fb"),
            class: banks(&case, "memobank1", "memobank2"),
            pixel: banks(&case, "memobank1_p", "memobank2_p"),
        };
        check_vectors(&case, &maps, &seeds, &image_labels, config.grid);

        let mut objective = evaluate(&maps, &seeds, &image_labels, &banks, &config).unwrap();
        let level = |name: &str| -> f64 {
            let own = objective.terms.iter().filter(|term| term.name.starts_with(name));
            own.map(|term| term.weight * term.value.to_scalar::<f64>().unwrap()).sum()
        };
        for (name, scalar) in [("roi/", "loss_rsc"), ("class/", "loss_csc"), ("pixel/", "loss_psc")] {
            let (got, want) = (level(name), case.scalar(scalar).unwrap());
            assert!((got - want).abs() <= SCALAR * want.abs(), "{}: {scalar}: got {got}, want {want}", case.name);
        }
        for (key, name) in [
            ("roi.source", "memobank_fb"),
            ("roi.target", "memobank1_fb"),
            ("class.source", "memobank1"),
            ("class.target", "memobank2"),
            ("pixel.source", "memobank1_p"),
            ("pixel.target", "memobank2_p"),
        ] {
            let want = case.tensor(name);
            let got = objective.memory.take(key, want.dims()).unwrap();
            case.check(&format!("{name}_after"), &got, TENSOR);
        }
        let gradients = objective.terms.total().unwrap().unwrap().backward().unwrap();
        for (view, (pixel, region)) in [(1, &vars.source), (2, &vars.target)] {
            for (map, var) in [(1, pixel), (2, region)] {
                check_gradient(&case, &format!("grad_loss__feat{view}_{map}"), gradients.get(var).unwrap());
            }
        }
    }
}

fn check_vectors(
    case: &Fixture,
    maps: &Pair<HscMaps>,
    seeds: &HscSeeds,
    labels: &candle_wsss::ImageLabels,
    grid: (usize, usize),
) {
    let maps = maps.as_ref().map(|maps| maps.resized(grid).unwrap());
    let regions = maps.as_ref().map(|maps| maps.region.clone());
    check_region_vectors(case, &regions, &seeds.labels, labels.layout());
    check_class_vectors(case, &regions, &seeds.scores, labels);
    check_pixel_vectors(case, &maps.map(|maps| maps.pixel), &seeds.scores, labels);
}

// Gradients are stored in part: some channels, and norms over space and over channels.
fn check_gradient(case: &Fixture, name: &str, got: &Tensor) {
    let got = got.to_dtype(DType::F64).unwrap();
    let squares = got.sqr().unwrap();
    let mut checked = 0;
    for stored in case.json["tensors"].as_object().unwrap().keys() {
        let Some(part) = stored.strip_prefix(name).and_then(|rest| rest.strip_prefix("__")) else { continue };
        let got = match part {
            "channel_l2" => squares.sum((2, 3)).unwrap().sqrt().unwrap(),
            "pixel_l2" => squares.sum(1).unwrap().sqrt().unwrap(),
            range => {
                let (first, end) = range.strip_prefix("ch").and_then(|range| range.split_once('_')).unwrap();
                let (first, end): (usize, usize) = (first.parse().unwrap(), end.parse().unwrap());
                got.narrow(1, first, end - first).unwrap()
            }
        };
        case.check(stored, &got, TENSOR);
        checked += 1;
    }
    assert!(checked > 0, "{}: nothing stored of {name}", case.name);
}
