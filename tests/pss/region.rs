use candle_core::{DType, Device, Tensor};
use candle_wsss::regularizer::pss::{RcmConfig, RegionPrototypes, region_contrast, region_masks, region_prototypes};
use candle_wsss::testing::{gradient_error, randn};

use super::inputs::{labels, max_norm, numbers};

const SIZE: (usize, usize) = (5, 4);

fn masks_by_loops(cams: &[Tensor], present: &[&[usize]], foreground: usize, config: &RcmConfig) -> Vec<u32> {
    let pixels = cams[0].dims()[2] * cams[0].dims()[3];
    let cams: Vec<Vec<f64>> = cams.iter().map(numbers).collect();
    let mut masks = Vec::new();
    for (image, classes) in present.iter().enumerate() {
        let mut best = vec![(0.0, foreground as u32 + 1); pixels];
        for &class in *classes {
            let at = |pixel: usize| (image * (foreground + 1) + class) * pixels + pixel;
            let mean: Vec<f64> =
                (0..pixels).map(|p| cams.iter().map(|cam| cam[at(p)]).sum::<f64>() / cams.len() as f64).collect();
            for (best, score) in best.iter_mut().zip(max_norm(&mean)) {
                if score > best.0 {
                    *best = (score, class as u32);
                }
            }
        }
        for (score, class) in best {
            masks.push(if score > config.foreground_threshold {
                class
            } else if score < config.background_threshold {
                foreground as u32
            } else {
                foreground as u32 + 1
            });
        }
    }
    masks
}

fn regions(seed: u64, n: usize, classes: usize) -> Tensor {
    // One more than there are classes: ignored.
    let draws = numbers(&randn(seed, &[n * SIZE.0 * SIZE.1]).unwrap());
    let flat: Vec<u32> = draws.iter().map(|z| ((z.abs() * 1e3) as usize % (classes + 1)) as u32).collect();
    Tensor::from_vec(flat, (n, SIZE.0, SIZE.1), &Device::Cpu).unwrap()
}

fn unit(row: &[f64]) -> Vec<f64> {
    let length = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(1e-12);
    row.iter().map(|v| v / length).collect()
}

// Unit features of all pixels, in rows.
fn pixel_rows(features: &Tensor) -> Vec<Vec<f64>> {
    let (n, dim, h, w) = features.dims4().unwrap();
    let flat = numbers(features);
    let pixel = |i: usize, p: usize| (0..dim).map(|d| flat[(i * dim + d) * h * w + p]).collect::<Vec<_>>();
    (0..n).flat_map(|i| (0..h * w).map(move |p| (i, p))).map(|(i, p)| unit(&pixel(i, p))).collect()
}

fn contrast_by_loops(main: &Tensor, support: &Tensor, regions: &Tensor, classes: usize, temperature: f64) -> f64 {
    let own = regions.flatten_all().unwrap().to_vec1::<u32>().unwrap();
    let rows = pixel_rows(support);
    let prototypes: Vec<Option<Vec<f64>>> = (0..classes as u32)
        .map(|class| {
            let members: Vec<&Vec<f64>> = rows.iter().zip(&own).filter(|(_, o)| **o == class).map(|(r, _)| r).collect();
            let count = members.len() as f64;
            let mean: Vec<f64> =
                (0..rows[0].len()).map(|d| members.iter().map(|r| r[d]).sum::<f64>() / count).collect();
            (count > 0.0).then(|| unit(&mean))
        })
        .collect();
    let (mut sum, mut count) = (0.0, 0.0);
    for (row, class) in pixel_rows(main).iter().zip(own) {
        let Some(Some(_)) = prototypes.get(class as usize) else { continue };
        let logit = |p: &Vec<f64>| row.iter().zip(p).map(|(a, b)| a * b).sum::<f64>() / temperature;
        let denominator: f64 = prototypes.iter().flatten().map(|p| logit(p).exp()).sum();
        sum += denominator.ln() - logit(prototypes[class as usize].as_ref().unwrap());
        count += 1.0;
    }
    sum / count
}

fn contrast(main: &Tensor, support: &Tensor, regions: &Tensor, classes: usize) -> Option<f64> {
    let prototypes = region_prototypes(support, regions, classes).unwrap();
    region_contrast(main, regions, &prototypes, 0.1).unwrap().map(|value| value.to_scalar().unwrap())
}

#[test]
fn masks_are_those_of_loops() {
    for (foreground, present) in [(3, &[&[0, 2][..], &[1]][..]), (1, &[&[0]]), (6, &[&[5, 1, 2], &[], &[0]])] {
        let shape = [present.len(), foreground + 1, SIZE.0, SIZE.1];
        let cams: Vec<Tensor> = (0..3).map(|seed| randn(seed, &shape).unwrap()).collect();
        for (high, low) in [(0.4, 0.1), (0.7, 0.7), (0.0, 0.0), (0.3, 0.0)] {
            let config = RcmConfig { foreground_threshold: high, background_threshold: low, ..RcmConfig::default() };
            let masks = region_masks(&cams, &labels(present, foreground, DType::F64), &config).unwrap();
            let want = masks_by_loops(&cams, present, foreground, &config);
            assert_eq!(masks.flatten_all().unwrap().to_vec1::<u32>().unwrap(), want);
        }
    }
}

#[test]
fn an_absent_class_has_no_region_and_of_equal_ones_the_lowest_wins() {
    let labels = labels(&[&[1, 2]], 3, DType::F64);
    let map = |scale: f64| (randn(5, &[1, 1, 4, 4]).unwrap().abs().unwrap() * scale).unwrap();
    let (one, loud) = (map(1.0), map(100.0));
    let cam = Tensor::cat(&[&loud, &one, &one, &loud], 1).unwrap();
    let masks = region_masks(&[cam], &labels, &RcmConfig::default()).unwrap();
    let masks = masks.flatten_all().unwrap().to_vec1::<u32>().unwrap();
    assert!(masks.iter().all(|class| [1, 3, 4].contains(class)), "{masks:?}");
    assert!(masks.contains(&1));
}

#[test]
fn flat_maps_and_unlabelled_images_are_background() {
    let labels = labels(&[&[0], &[]], 2, DType::F64);
    let cam = Tensor::full(3.0, (2, 3, 2, 2), &Device::Cpu).unwrap();
    let masks = region_masks(&[cam], &labels, &RcmConfig::default()).unwrap();
    assert_eq!(masks.flatten_all().unwrap().to_vec1::<u32>().unwrap(), [2; 8]);
}

#[test]
fn contrast_is_that_of_loops() {
    for (n, classes, dim) in [(2, 4, 6), (1, 2, 3), (4, 22, 8), (3, 3, 1)] {
        let shape = [n, dim, SIZE.0, SIZE.1];
        let (main, support) = (randn(1, &shape).unwrap(), randn(2, &shape).unwrap());
        let regions = regions(3, n, classes);
        let got = contrast(&main, &support, &regions, classes).unwrap();
        let want = contrast_by_loops(&main, &support, &regions, classes, 0.1);
        assert!((got - want).abs() < 1e-9 * want.abs().max(1.0), "{got} {want}");
    }
}

#[test]
fn contrast_has_the_gradient_of_its_differences() {
    let shape = [2, 4, SIZE.0, SIZE.1];
    let regions = regions(7, 2, 3);
    let prototypes = region_prototypes(&randn(8, &shape).unwrap(), &regions, 3).unwrap();
    let error = gradient_error(&[randn(9, &shape).unwrap()], 40, |inputs| {
        Ok(region_contrast(&inputs[0], &regions, &prototypes, 0.5)?.unwrap())
    });
    assert!(error.unwrap() < 1e-6);
}

#[test]
fn equal_features_give_the_logarithm_of_the_number_of_prototypes() {
    let features = Tensor::ones((1, 3, 1, 6), DType::F64, &Device::Cpu).unwrap();
    for (own, count) in [([0u32, 1, 2, 3, 0, 4], 4.0f64), ([0, 0, 4, 4, 2, 2], 2.0), ([3, 3, 3, 3, 4, 4], 1.0)] {
        let regions = Tensor::from_vec(own.to_vec(), (1, 1, 6), &Device::Cpu).unwrap();
        let got = contrast(&features, &features, &regions, 4).unwrap();
        assert!((got - count.ln()).abs() < 1e-9, "{got}");
    }
}

#[test]
fn classes_at_right_angles_have_the_closed_form() {
    let features = Tensor::eye(3, DType::F64, &Device::Cpu).unwrap().reshape((1, 3, 1, 3)).unwrap();
    let regions = Tensor::new(&[[[0u32, 1, 2]]], &Device::Cpu).unwrap();
    let got = contrast(&features, &features, &regions, 3).unwrap();
    let want = (1.0 + 2.0 * (-10.0f64).exp()).ln();
    assert!((got - want).abs() < 1e-12, "{got} {want}");
}

#[test]
fn a_class_without_region_is_not_in_the_denominator() {
    let shape = [2, 4, SIZE.0, SIZE.1];
    let (main, support) = (randn(1, &shape).unwrap(), randn(2, &shape).unwrap());
    // Classes 0 and 1 of two, then of nine; ignored is the number of classes in both.
    let few = regions(3, 2, 2);
    let ignored = few.eq(2u32).unwrap();
    let many = ignored.where_cond(&(few.ones_like().unwrap() * 9.0).unwrap(), &few).unwrap();
    let (a, b) = (contrast(&main, &support, &few, 2).unwrap(), contrast(&main, &support, &many, 9).unwrap());
    assert!((a - b).abs() < 1e-12);
}

#[test]
fn pixels_without_prototype_and_ignored_ones_count_for_nothing() {
    let main = candle_core::Var::from_tensor(&randn(1, &[1, 4, 1, 4]).unwrap()).unwrap();
    let regions = Tensor::new(&[[[0u32, 1, 2, 2]]], &Device::Cpu).unwrap();
    let rows = randn(2, &[2, 4]).unwrap();
    let prototypes = |available: [u8; 2]| RegionPrototypes {
        rows: rows.clone(),
        available: Tensor::new(&available, &Device::Cpu).unwrap(),
    };
    let value = region_contrast(main.as_tensor(), &regions, &prototypes([1, 0]), 0.1).unwrap().unwrap();
    assert_eq!(value.to_scalar::<f64>().unwrap(), 0.0, "one prototype leaves no choice");
    let value = region_contrast(main.as_tensor(), &regions, &prototypes([1, 1]), 0.1).unwrap().unwrap();
    let gradients = value.backward().unwrap();
    let columns = numbers(&gradients.get(&main).unwrap().sum(1).unwrap().abs().unwrap());
    assert!(columns[0] > 0.0 && columns[1] > 0.0);
    assert_eq!(columns[2..], [0.0, 0.0]);
    assert!(region_contrast(main.as_tensor(), &regions, &prototypes([0, 0]), 0.1).unwrap().is_none());
}

#[test]
fn without_a_region_there_is_no_term() {
    let features = randn(1, &[2, 4, 3, 3]).unwrap();
    let regions = Tensor::full(5u32, (2, 3, 3), &Device::Cpu).unwrap();
    assert_eq!(contrast(&features, &features, &regions, 5), None);
}

#[test]
fn one_pixel_and_zero_features_stay_finite() {
    let main = candle_core::Var::zeros((1, 4, 1, 3), DType::F64, &Device::Cpu).unwrap();
    for own in [[0u32, 2, 2], [0, 1, 1]] {
        let regions = Tensor::new(&[[own]], &Device::Cpu).unwrap();
        let prototypes = region_prototypes(main.as_tensor(), &regions, 2).unwrap();
        assert!(numbers(&prototypes.rows).iter().all(|v| *v == 0.0));
        let value = region_contrast(main.as_tensor(), &regions, &prototypes, 0.1).unwrap().unwrap();
        assert!(value.to_scalar::<f64>().unwrap().is_finite());
        assert!(numbers(value.backward().unwrap().get(&main).unwrap()).iter().all(|g| g.is_finite()));
    }
}

#[test]
fn misfits_are_named() {
    let config = RcmConfig::default();
    let labels = labels(&[&[0], &[1]], 2, DType::F64);
    let cam = |n: usize, side: usize| randn(1, &[n, 3, side, side]).unwrap();
    for cams in [vec![], vec![cam(1, 4)], vec![cam(2, 4), cam(2, 5)], vec![randn(1, &[2, 4, 4, 4]).unwrap()]] {
        let message = region_masks(&cams, &labels, &config).unwrap_err().to_string();
        assert!(message.contains("regions"), "{message}");
    }
}
