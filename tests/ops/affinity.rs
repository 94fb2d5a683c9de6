//! Averages over like pixels, against the whole matrix.

use candle_core::{D, DType, Device, Tensor};
use candle_wsss::ops::{affinity_mean, unit_added};
use candle_wsss::testing::{assert_close, randn};

const EPSILON: f64 = 1e-5;

fn inputs(images: usize, classes: usize, dim: usize, pixels: usize) -> (Tensor, Tensor) {
    let unit = unit_added(&randn(2, &[images, dim, pixels]).unwrap(), 1, EPSILON).unwrap();
    (randn(1, &[images, classes, pixels]).unwrap(), unit)
}

fn whole_matrix(maps: &Tensor, unit: &Tensor) -> Tensor {
    let affinity = unit.transpose(1, 2).unwrap().contiguous().unwrap().matmul(unit).unwrap().relu().unwrap();
    let sums = (affinity.sum_keepdim(D::Minus2).unwrap() + EPSILON).unwrap();
    maps.matmul(&affinity).unwrap().broadcast_div(&sums).unwrap()
}

#[test]
fn tiles_give_what_the_whole_matrix_gives() {
    // Less than a tile, its edges, several of them.
    for (images, classes, dim, pixels) in [(2, 3, 4, 7), (1, 2, 1, 1), (1, 1, 6, 256), (2, 4, 5, 257), (1, 3, 8, 1100)]
    {
        let (maps, unit) = inputs(images, classes, dim, pixels);
        let got = affinity_mean(&maps, &unit, EPSILON).unwrap();
        assert_close("float64", &got, &whole_matrix(&maps, &unit), 1e-13).unwrap();
        let (maps, unit) = (maps.to_dtype(DType::F32).unwrap(), unit.to_dtype(DType::F32).unwrap());
        let single = affinity_mean(&maps, &unit, EPSILON).unwrap().to_dtype(DType::F64).unwrap();
        assert_close("float32", &single, &got, 2e-6).unwrap();
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let (maps, unit) = inputs(2, 3, 6, 1000);
    let (maps, unit) = (maps.to_dtype(DType::F32).unwrap(), unit.to_dtype(DType::F32).unwrap());
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| affinity_mean(&maps, &unit, EPSILON).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
    };
    let one = run(1);
    assert!(one == run(3) && one == run(2));
}

#[test]
fn nothing_and_nonsense() {
    let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F64, &Device::Cpu).unwrap();
    // Pixels without a feature are like none, not even themselves.
    let got = affinity_mean(&zeros(&[1, 2, 5]).ones_like().unwrap(), &zeros(&[1, 3, 5]), EPSILON).unwrap();
    assert_close("featureless", &got, &zeros(&[1, 2, 5]), 0.0).unwrap();
    assert_eq!(affinity_mean(&zeros(&[1, 0, 5]), &zeros(&[1, 3, 5]), EPSILON).unwrap().dims(), [1, 0, 5]);
    assert_eq!(affinity_mean(&zeros(&[1, 2, 5]), &zeros(&[1, 0, 5]), EPSILON).unwrap().dims(), [1, 2, 5]);

    let fail = |maps: &[usize], unit: &[usize], epsilon| {
        affinity_mean(&zeros(maps), &zeros(unit), epsilon).unwrap_err().to_string()
    };
    assert_eq!(
        fail(&[1, 2, 5], &[1, 3, 6], EPSILON),
        "features of affinity_mean: expected shape (1, d, 5), got [1, 3, 6]"
    );
    assert!(fail(&[1, 2, 5], &[2, 3, 5], EPSILON).contains("expected shape (1, d, 5)"));
    assert!(fail(&[1, 2, 5, 1], &[1, 3, 5], EPSILON).contains("maps of affinity_mean: expected shape (N, c, P)"));
    assert!(fail(&[1, 2, 5], &[1, 3, 5], 0.0).contains("expected a positive number, got 0"));
    assert!(fail(&[1, 2, 5], &[1, 3, 5], f64::NAN).contains("NaN"));
    let maps = zeros(&[1, 2, 5]).to_dtype(DType::F32).unwrap();
    assert!(affinity_mean(&maps, &zeros(&[1, 3, 5]), EPSILON).is_err(), "two types");
}

#[test]
fn a_feature_that_is_no_number_shows() {
    let (maps, unit) = inputs(1, 1, 2, 4);
    let mask = Tensor::new(&[[[1.0, f64::NAN, 1.0, 1.0]]], &Device::Cpu).unwrap();
    let got = affinity_mean(&maps, &unit.broadcast_mul(&mask).unwrap(), EPSILON).unwrap();
    assert!(got.flatten_all().unwrap().to_vec1::<f64>().unwrap().iter().all(|value| value.is_nan()));
}
