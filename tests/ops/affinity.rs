//! Averages over like pixels, against the whole matrix.

use candle_core::{D, DType, Device, Tensor, Var};
use candle_wsss::ops::{affinity_mean, affinity_mean_composed, unit_added};
use candle_wsss::testing::{assert_close, gradient_error, randn};

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
        pool.install(|| differentiated(affinity_mean, &maps, &unit)).map(|part| part.flatten_all().unwrap())
    };
    let bits = |parts: [Tensor; 3]| parts.map(|part| part.to_vec1::<f32>().unwrap());
    let one = bits(run(1));
    assert!(one == bits(run(3)) && one == bits(run(2)));
}

type Mean = fn(&Tensor, &Tensor, f64) -> candle_wsss::Result<Tensor>;

/// The result, and the gradients of the maps and of the features along a fixed direction.
fn differentiated(mean: Mean, maps: &Tensor, unit: &Tensor) -> [Tensor; 3] {
    let [maps, unit] = [maps, unit].map(|x| Var::from_tensor(x).unwrap());
    let result = mean(&maps, &unit, EPSILON).unwrap();
    let cotangent = randn(3, result.dims()).unwrap().to_dtype(result.dtype()).unwrap();
    let grads = (&result * cotangent).unwrap().sum_all().unwrap().backward().unwrap();
    [result, grads.get(&maps).unwrap().clone(), grads.get(&unit).unwrap().clone()]
}

#[test]
fn value_and_gradients_are_those_of_the_composed_form() {
    // One block, its edges, an even and an odd number of blocks, several images.
    for (images, classes, dim, pixels) in
        [(2, 3, 4, 7), (1, 2, 1, 1), (1, 1, 6, 256), (2, 4, 5, 257), (1, 3, 8, 800), (3, 2, 17, 520)]
    {
        let (maps, unit) = inputs(images, classes, dim, pixels);
        let [got, want] = [affinity_mean as Mean, affinity_mean_composed].map(|f| differentiated(f, &maps, &unit));
        for (what, (got, want)) in ["value", "maps", "features"].iter().zip(got.iter().zip(&want)) {
            assert_close(what, got, want, 1e-11).unwrap();
        }
        if pixels == 1 {
            continue; // A lone pixel keeps its values: the gradient of its feature is what rounding left of a difference.
        }
        let single = [&maps, &unit].map(|x| x.to_dtype(DType::F32).unwrap());
        let single = differentiated(affinity_mean, &single[0], &single[1]);
        for (what, (got, want)) in ["value", "maps", "features"].iter().zip(single.iter().zip(&want)) {
            assert_close(what, &got.to_dtype(DType::F64).unwrap(), want, 1e-5).unwrap();
        }
    }
}

#[test]
fn gradients_match_differences() {
    for (images, classes, dim, pixels) in [(2, 3, 5, 9), (1, 2, 3, 300)] {
        let maps = randn(4, &[images, classes, pixels]).unwrap();
        let features = randn(5, &[images, dim, pixels]).unwrap();
        let cotangent = randn(6, maps.dims()).unwrap();
        let error = gradient_error(&[maps, features], 40, |x| {
            let unit = unit_added(&x[1], 1, EPSILON)?;
            Ok((affinity_mean(&x[0], &unit, EPSILON)? * &cotangent)?.sum_all()?)
        });
        assert!(error.unwrap() < 1e-6);
    }
}

#[test]
fn only_what_is_wanted_has_a_gradient() {
    let (maps, unit) = inputs(1, 2, 3, 5);
    let var = Var::from_tensor(&unit).unwrap();
    let grads = affinity_mean(&maps, &var, EPSILON).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&var).is_some() && grads.get(&maps).is_none());
    let var = Var::from_tensor(&maps).unwrap();
    let grads = affinity_mean(&var, &unit, EPSILON).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&var).is_some() && grads.get(&unit).is_none());
    // Equal features: whatever the maps, every average is their mean, and the gradient shares it out.
    let equal = (unit.ones_like().unwrap() / 3f64.sqrt()).unwrap();
    let [_, of_maps, of_unit] = differentiated(affinity_mean, &maps, &equal);
    let direction = randn(3, &[1, 2, 5]).unwrap().mean_keepdim(2).unwrap();
    assert_close("maps", &of_maps, &direction.broadcast_as(of_maps.shape()).unwrap(), 1e-5).unwrap();
    assert!(of_unit.sum_all().unwrap().to_scalar::<f64>().unwrap().is_finite());
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
