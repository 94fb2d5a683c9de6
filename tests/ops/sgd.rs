use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{SgdStep, gradient_scale, sgd_step};
use candle_wsss::testing::randn;

const NUMBERS: SgdStep = SgdStep { rate: 0.05, weight_decay: 5e-4, momentum: 0.9 };

fn inputs(dtype: DType) -> [Tensor; 3] {
    [1, 2, 3].map(|seed| randn(seed, &[37, 501]).unwrap().to_dtype(dtype).unwrap())
}

fn bits(x: &Tensor) -> Vec<u64> {
    let values = x.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1::<f64>().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

/// The step out of candle's operations, the same bits for any number of threads.
#[test]
fn is_the_composed_step() {
    for dtype in [DType::F32, DType::F64] {
        for threads in [1, 3] {
            let [weight, grad, velocity] = inputs(dtype);
            let direction = ((&grad * 0.7).unwrap() + (&weight * NUMBERS.weight_decay).unwrap()).unwrap();
            let direction = (direction + (&velocity * NUMBERS.momentum).unwrap()).unwrap();
            let want = (&weight - (&direction * NUMBERS.rate).unwrap()).unwrap();
            let weight = Var::from_tensor(&weight).unwrap();
            let scale = Tensor::new(0.7, &Device::Cpu).unwrap();
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| sgd_step(&weight, &grad, Some(&velocity), Some(&scale), NUMBERS)).unwrap();
            assert!(bits(&weight) == bits(&want), "{dtype:?}");
            assert!(bits(&velocity) == bits(&direction), "{dtype:?}");
        }
    }
}

/// Computed in float32 and rounded once.
#[test]
fn halves_are_rounded_once() {
    for dtype in [DType::F16, DType::BF16] {
        let half = inputs(dtype);
        let [weight, grad, velocity] = half.clone().map(|x| x.to_dtype(DType::F32).unwrap());
        let weight = Var::from_tensor(&weight).unwrap();
        sgd_step(&weight, &grad, Some(&velocity), None, NUMBERS).unwrap();
        let [half_weight, half_grad, half_velocity] = half;
        let half_weight = Var::from_tensor(&half_weight).unwrap();
        sgd_step(&half_weight, &half_grad, Some(&half_velocity), None, NUMBERS).unwrap();
        for (got, want) in [(half_weight.as_tensor(), weight.as_tensor()), (&half_velocity, &velocity)] {
            assert!(bits(got) == bits(&want.to_dtype(dtype).unwrap()), "{dtype:?}");
        }
    }
}

/// Parts of larger tensors move alone, and a transposed gradient is taken as it is meant.
#[test]
fn only_the_parameter_moves() {
    let [weight, grad, _] = inputs(DType::F64);
    let transposed = grad.t().unwrap().contiguous().unwrap().t().unwrap();
    let (first, second) = (Var::from_tensor(&weight).unwrap(), Var::from_tensor(&weight.copy().unwrap()).unwrap());
    let before = bits(&grad);
    sgd_step(&first, &grad, None, None, NUMBERS).unwrap();
    sgd_step(&second, &transposed, None, None, NUMBERS).unwrap();
    assert!(bits(&first) == bits(&second) && bits(&first) != bits(&inputs(DType::F64)[0]));
    assert!(bits(&grad) == before);
}

#[test]
fn the_norm_of_all_gradients_is_brought_down() {
    let [a, b, _] = inputs(DType::F64);
    let number = |x: &Tensor| x.to_scalar::<f64>().unwrap();
    let sum = |x: &Tensor| number(&x.sqr().unwrap().sum_all().unwrap());
    let norm = (sum(&a) + sum(&b)).sqrt();
    for limit in [0.5, norm / 2.0] {
        let scale = number(&gradient_scale(&[&a, &b.t().unwrap()], limit).unwrap());
        assert!((scale - limit / norm).abs() < 1e-13, "{scale}");
    }
    assert_eq!(number(&gradient_scale(&[&a, &b], norm * 1.01).unwrap()), 1.0);
    assert_eq!(number(&gradient_scale(&[&a.zeros_like().unwrap()], 2.0).unwrap()), 1.0);
    let nan = Tensor::new(&[1.0, f64::NAN], &Device::Cpu).unwrap();
    assert!(number(&gradient_scale(&[&nan], 2.0).unwrap()).is_nan());
}

#[test]
fn what_does_not_fit_is_refused() {
    let [weight, grad, velocity] = inputs(DType::F32);
    let var = Var::from_tensor(&weight).unwrap();
    let before = bits(&var);
    let short = grad.narrow(0, 0, 3).unwrap();
    let wide = grad.to_dtype(DType::F64).unwrap();
    let scale = Tensor::new(1f32, &Device::Cpu).unwrap();
    let refused = [
        sgd_step(&var, &short, None, None, NUMBERS),
        sgd_step(&var, &wide, None, None, NUMBERS),
        sgd_step(&var, &grad, Some(&short), None, NUMBERS),
        sgd_step(&var, &grad, Some(&velocity), Some(&scale), NUMBERS),
        sgd_step(&var, &grad, Some(&grad), None, NUMBERS),
        sgd_step(&var, &grad, Some(&var.as_detached_tensor()), None, NUMBERS),
        sgd_step(&var, &var.as_detached_tensor(), None, None, NUMBERS),
    ];
    for (i, result) in refused.into_iter().enumerate() {
        assert!(result.is_err(), "case {i} was taken");
    }
    assert!(bits(&var) == before);
    // Its own scale.
    let number = Var::new(1.0, &Device::Cpu).unwrap();
    assert!(sgd_step(&number, &scale.to_dtype(DType::F64).unwrap(), None, Some(&number), NUMBERS).is_err());
    assert!(gradient_scale(&[], 1.0).is_err() && gradient_scale(&[&grad], f64::NAN).is_err());
}
