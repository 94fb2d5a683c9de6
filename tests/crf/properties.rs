//! What holds of the lattice without another implementation: closed forms, collapse, threads, degenerate images.

use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{CrfKernel, DenseCrf, DenseCrfConfig, DenseCrfPlan};

use super::{agreement, flat, image, labels};

fn zeros(h: usize, w: usize) -> Tensor {
    Tensor::zeros((h, w, 3), DType::U8, &Device::Cpu).unwrap()
}

fn values(q: &Tensor) -> Vec<f32> {
    q.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn one_pixel_has_its_closed_form() {
    // Normalised, each kernel of a single pixel is 1: q = softmax(s + (w_g + w_b) q).
    let config = DenseCrfConfig { gaussian_compat: 0.3, bilateral_compat: 0.5, ..DenseCrfConfig::seam_soft() };
    let p = [0.5f64, 0.3, 0.2];
    let normalise = |e: [f64; 3]| e.map(|value| value / e.iter().sum::<f64>());
    let mut want = normalise(p);
    for _ in 0..config.iterations {
        let q = want;
        want = normalise(std::array::from_fn(|i| p[i] * (0.8 * q[i]).exp()));
    }
    let probabilities = Tensor::new(&p, &Device::Cpu).unwrap().reshape((3, 1, 1)).unwrap();
    for kernel in [CrfKernel::Lattice, CrfKernel::Exact] {
        let crf = DenseCrf::new(&zeros(1, 1), &DenseCrfConfig { kernel, ..config }).unwrap();
        for (got, want) in values(&crf.soft(&probabilities).unwrap()).into_iter().zip(want) {
            assert!((f64::from(got) - want).abs() < 1e-6, "{kernel:?}: {got}, {want}");
        }
    }
}

#[test]
fn kernels_agree_where_the_image_is_smooth() {
    let (h, w) = (24, 20);
    let ramp: Vec<u8> = (0..h * w * 3).map(|i| (i / 3 % w * 4 + i / 3 / w * 3 + i % 3 * 9) as u8).collect();
    let image = Tensor::from_vec(ramp, (h, w, 3), &Device::Cpu).unwrap();
    let labels = labels(3, &[h, w], &[0, 0, 0, 1]);
    let refine = |kernel| {
        let config = DenseCrfConfig { kernel, ..DenseCrfConfig::seam_soft() };
        DenseCrf::new(&image, &config).unwrap().refine_labels(&labels, 3).unwrap()
    };
    let share = agreement(&refine(CrfKernel::Lattice), &refine(CrfKernel::Exact));
    assert!(share > 0.98, "{share}");
}

#[test]
fn channels_of_equal_labels_are_one_channel() {
    let (h, w) = (11, 9);
    let image = image(4, 1, h, w).get(0).unwrap();
    let crf = DenseCrf::new(&image, &DenseCrfConfig::seam_soft()).unwrap();
    // Past every number of channels there is code for, and past that.
    for num_labels in [2, 4, 5, 9, 13, 21, 30, 40] {
        let own = labels(5, &[h, w], &[0, 1]);
        let map = |label: usize, absent: f32| -> Vec<f32> {
            let pick = |own: u32| if own as usize == label { 0.6 } else { absent };
            flat(&own).into_iter().map(pick).collect()
        };
        let stack = |absent: &dyn Fn(usize) -> f32| {
            let all: Vec<f32> = (0..num_labels).flat_map(|label| map(label, absent(label))).collect();
            crf.soft(&Tensor::from_vec(all, (num_labels, h, w), &Device::Cpu).unwrap()).unwrap()
        };
        let one = stack(&|_| 0.02);
        // Maps that differ by next to nothing keep channels of their own.
        let each = stack(&|label| 0.02 + label as f32 * 4e-9);
        candle_wsss::testing::assert_close("posterior", &one, &each, 2e-5).unwrap();
    }
}

#[test]
fn a_plan_serves_every_image_of_its_size() {
    let config = DenseCrfConfig::hsc_labels();
    let plan = DenseCrfPlan::new((9, 8), &config).unwrap();
    for seed in 0..3 {
        let (image, labels) = (image(seed, 1, 9, 8).get(0).unwrap(), labels(seed, &[9, 8], &[1, 2]));
        let shared = plan.image(&image).unwrap().label_posterior(&labels, 4).unwrap();
        let own = DenseCrf::new(&image, &config).unwrap().label_posterior(&labels, 4).unwrap();
        assert_eq!(values(&shared), values(&own));
    }
    assert!(plan.image(&zeros(8, 9)).is_err());
}

#[test]
fn degenerate_images_have_beliefs() {
    for (h, w) in [(0, 0), (0, 5), (5, 0), (1, 1), (1, 300), (300, 1), (7, 7)] {
        let crf = DenseCrf::new(&zeros(h, w), &DenseCrfConfig::seam_soft()).unwrap();
        for count in [1, 2, 35] {
            let maps = Tensor::full(f32::NAN, (count, h, w), &Device::Cpu).unwrap();
            for maps in [maps.zeros_like().unwrap(), maps.ones_like().unwrap(), maps] {
                let q = crf.soft(&maps).unwrap();
                assert_eq!(q.dims(), [count, h, w]);
                assert!(values(&q).iter().all(|q| (q - 1.0 / count as f32).abs() < 1e-6), "{h} x {w}, {count}");
            }
        }
        assert!(crf.soft(&Tensor::zeros((0, h, w), DType::F32, &Device::Cpu).unwrap()).is_err());
    }
}

#[test]
fn widths_the_lattice_cannot_count_are_refused() {
    let refused = |config: DenseCrfConfig, field: &str| {
        let message = DenseCrf::new(&zeros(40, 40), &config).unwrap_err().to_string();
        assert!(message.contains(field), "{message}");
        DenseCrf::new(&zeros(4, 4), &DenseCrfConfig { kernel: CrfKernel::Exact, ..config }).unwrap();
    };
    for width in [1e-30, 1e-60, 1e-7] {
        refused(DenseCrfConfig { gaussian_sxy: width, ..DenseCrfConfig::seam_soft() }, "gaussian_sxy");
        refused(DenseCrfConfig { bilateral_srgb: width, ..DenseCrfConfig::seam_soft() }, "bilateral_srgb");
    }
    // Wide ones are as good as flat.
    let wide =
        DenseCrfConfig { gaussian_sxy: 1e30, bilateral_sxy: 1e30, bilateral_srgb: 1e30, ..DenseCrfConfig::seam_soft() };
    let q = DenseCrf::new(&zeros(5, 4), &wide).unwrap().label_posterior(&labels(1, &[5, 4], &[0, 1]), 2).unwrap();
    assert!(values(&q).iter().all(|q| q.is_finite()));
}
