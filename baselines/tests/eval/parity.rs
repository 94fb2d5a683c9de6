//! The released code's curve, best point and confusion.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use candle_wsss_baselines::eval::{AbsentClass, Confusion, Curve, Sweep};
use candle_wsss_baselines::infer::SeedMaps;

use crate::fixture::Fixture;

struct Case {
    images: Vec<(Vec<u8>, SeedMaps)>,
    num_classes: usize,
    thresholds: Vec<f64>,
}

impl Case {
    fn of(fixture: &Fixture) -> Self {
        let integers = |name: &str| fixture.tensor(name).to_vec1::<f64>().unwrap();
        let (_, height, width) = fixture.raw("gt").dims3().unwrap();
        let maps = fixture.raw("cams").flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
        let truth = fixture.raw("gt").flatten_from(1).unwrap().to_vec2::<u8>().unwrap();
        let mut of_image: Vec<BTreeMap<usize, Vec<f32>>> = vec![BTreeMap::new(); truth.len()];
        for ((image, class), map) in integers("cam_image").into_iter().zip(integers("cam_class")).zip(maps) {
            of_image[image as usize].insert(class as usize, map);
        }
        let seeds = |maps: BTreeMap<usize, Vec<f32>>| {
            let classes = maps.keys().copied().collect();
            SeedMaps::new(classes, height, width, maps.into_values().flatten().collect()).unwrap()
        };
        Self {
            images: truth.into_iter().zip(of_image.into_iter().map(seeds)).collect(),
            num_classes: fixture.raw("iou").dim(1).unwrap(),
            thresholds: fixture.tensor("thresholds").to_vec1().unwrap(),
        }
    }

    fn curve(&self) -> Curve {
        let mut sweep = Sweep::new(self.num_classes, self.thresholds.clone()).unwrap();
        for (truth, maps) in &self.images {
            sweep.add(truth, maps).unwrap();
        }
        sweep.curve()
    }
}

fn assert_near(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-9 * want.abs().max(1e-12), "{what}: got {got}, want {want}");
}

#[test]
fn curve_matches_the_released_code() {
    for fixture in Fixture::with_prefix("eval_miou") {
        let case = Case::of(&fixture);
        let curve = case.curve();
        let ious = fixture.tensor("iou").to_vec2::<f64>().unwrap();
        for (index, (point, want)) in curve.points().iter().zip(&ious).enumerate() {
            for (class, (got, want)) in point.ious(AbsentClass::AsZero).into_iter().zip(want).enumerate() {
                assert_near(&format!("{}: IoU of class {class} at {index}", fixture.name), got.unwrap(), *want);
            }
        }
        let means = curve.mean_ious(AbsentClass::AsZero);
        for (got, want) in means.iter().zip(fixture.tensor("miou").to_vec1::<f64>().unwrap()) {
            assert_near("mIoU", got.unwrap(), want);
        }
        assert_eq!((curve.points().len(), means.len()), (ious.len(), ious.len()));
        let best = curve.best(AbsentClass::AsZero).unwrap();
        assert_near("best threshold", best.threshold, fixture.scalar("best_threshold").unwrap());
        assert_near("best mIoU", best.mean_iou, fixture.scalar("best_miou").unwrap());
        assert_eq!(curve.at(best.threshold, AbsentClass::AsZero).unwrap(), Some(best));
    }
}

#[test]
fn best_prediction_and_its_confusion_match() {
    for fixture in Fixture::with_prefix("eval_miou") {
        let case = Case::of(&fixture);
        let best = case.curve().best(AbsentClass::AsZero).unwrap();
        let want = fixture.raw("pred_best").flatten_from(1).unwrap().to_vec2::<u8>().unwrap();
        let mut confusion = Confusion::new(case.num_classes);
        for ((truth, maps), want) in case.images.iter().zip(want) {
            let labels = maps.labels(best.threshold as f32);
            assert_eq!(labels, want, "{}: prediction at {}", fixture.name, best.threshold);
            confusion.add(truth, &labels).unwrap();
        }
        assert_eq!(confusion, case.curve().points()[best.index]);
        let counts: Vec<f64> = confusion.counts().iter().map(|count| *count as f64).collect();
        let counts = Tensor::from_vec(counts, (case.num_classes, case.num_classes), &candle_core::Device::Cpu).unwrap();
        fixture.check("eps_confusion", &counts, 0.0);
        let want = fixture.raw("eps_iou").to_dtype(DType::F64).unwrap().to_vec1::<f64>().unwrap();
        let got = confusion.ious(AbsentClass::Skipped);
        assert_eq!(got.len(), want.len());
        for (got, want) in got.into_iter().zip(want) {
            match got {
                Some(got) => assert_near("IoU", got, want),
                None => assert!(want.is_nan(), "absent class, want {want}"),
            }
        }
        let mean = confusion.mean_iou(AbsentClass::Skipped).unwrap();
        assert_near("mean without absent", mean, fixture.scalar("eps_nanmean_miou").unwrap());
        assert_near("accuracy", confusion.pixel_accuracy().unwrap(), fixture.scalar("eps_pixel_accuracy").unwrap());
    }
}
