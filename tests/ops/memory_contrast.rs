use candle_core::{DType, Tensor, Var};
use candle_wsss::ops::{MemoryContrastSpec, memory_contrast, memory_contrast_composed};
use candle_wsss::testing::{gradient_error, randn, relative_error};

use super::{tensor, values};

const SPEC: MemoryContrastSpec = MemoryContrastSpec { temperature: 0.07, clamp_min: 1e-4 };

/// Queries, bank and what goes with them.
struct Case {
    queries: Tensor,
    bank: Tensor,
    filled: Vec<u32>,
    classes: Vec<[usize; 2]>,
    spec: MemoryContrastSpec,
}

impl Case {
    /// `[queries, classes, rows of a class, dimensions]`, all rows written.
    fn random(seed: u64, [pairs, classes, length, dim]: [usize; 4]) -> Self {
        let pick = |pair: usize, step: usize| (pair * step + seed as usize) % classes;
        Self {
            queries: randn(seed, &[pairs, dim]).unwrap(),
            bank: randn(seed + 100, &[classes, length, dim]).unwrap(),
            filled: vec![length as u32; classes],
            classes: (0..pairs).map(|pair| [pick(pair, 1), pick(pair, 3)]).collect(),
            spec: SPEC,
        }
    }

    fn fused(&self, queries: &Tensor) -> candle_wsss::Result<Tensor> {
        memory_contrast(queries, &self.bank, &self.filled, &self.classes, &self.spec)
    }

    fn composed(&self, queries: &Tensor) -> candle_wsss::Result<Tensor> {
        memory_contrast_composed(queries, &self.bank, &self.filled, &self.classes, &self.spec)
    }

    /// Losses and the gradient of their weighted sum, in the type of the queries given.
    fn both(&self, dtype: DType, is_fused: bool) -> [Tensor; 2] {
        let queries = Var::from_tensor(&self.queries.to_dtype(dtype).unwrap()).unwrap();
        let losses = if is_fused { self.fused(&queries) } else { self.composed(&queries) }.unwrap();
        let weights = (0..losses.elem_count()).map(|i| 1.0 + (i * 7 % 5) as f64).collect::<Vec<f64>>();
        let weights = tensor(&weights, losses.dims()).to_dtype(losses.dtype()).unwrap();
        let grads = (&losses * weights).unwrap().sum_all().unwrap().backward().unwrap();
        [losses.detach(), grads.get(&queries).expect("a gradient").clone()]
    }

    fn assert_fused_is_composed(&self, what: &str, dtype: DType, reference: DType, tolerance: f64) {
        for (part, (got, want)) in
            ["losses", "gradient"].into_iter().zip(self.both(dtype, true).iter().zip(&self.both(reference, false)))
        {
            assert_eq!(got.dtype(), dtype, "{what}");
            let error = relative_error(got, want).unwrap();
            assert!(error < tolerance, "{what}, {dtype:?}: {part}: relative error {error:.2e}");
        }
    }
}

const SHAPES: [[usize; 4]; 7] =
    [[3, 4, 5, 6], [1, 1, 1, 1], [1, 2, 1, 3], [5, 3, 130, 700], [17, 6, 33, 20], [40, 2, 3, 5], [2, 5, 300, 512]];

#[test]
fn fused_is_composed() {
    for (seed, shape) in SHAPES.into_iter().enumerate() {
        let case = Case::random(seed as u64, shape);
        case.assert_fused_is_composed(&format!("{shape:?}"), DType::F64, DType::F64, 1e-9);
        case.assert_fused_is_composed(&format!("{shape:?}"), DType::F32, DType::F64, 2e-5);
    }
}

#[test]
fn fused_is_composed_where_rows_are_missing_or_the_clamp_binds() {
    for (seed, shape) in SHAPES.into_iter().enumerate().skip(3) {
        let mut case = Case::random(seed as u64, shape);
        let length = shape[2] as u32;
        case.filled = (0..shape[1] as u32).map(|class| (class * 17 + 1).min(length)).collect();
        for clamp_min in [1e-4, 0.5, 2.5, 1e6] {
            case.spec = MemoryContrastSpec { temperature: 0.3, clamp_min };
            case.assert_fused_is_composed(&format!("{shape:?}, clamp {clamp_min}"), DType::F64, DType::F64, 1e-9);
        }
    }
}

#[test]
fn half_precision() {
    for dtype in [DType::F16, DType::BF16] {
        let rounding = if dtype == DType::F16 { 2e-3 } else { 1.6e-2 };
        for (seed, shape) in SHAPES.into_iter().enumerate() {
            let mut case = Case::random(seed as u64, shape);
            // A bank of half precision is as good as one of its values.
            case.bank = case.bank.to_dtype(dtype).unwrap();
            case.assert_fused_is_composed(&format!("bank {shape:?}"), DType::F32, DType::F64, 2e-5);
            case.assert_fused_is_composed(&format!("bank {shape:?}"), DType::F64, DType::F64, 1e-9);
            case.queries = case.queries.to_dtype(dtype).unwrap();
            case.assert_fused_is_composed(&format!("all {shape:?}"), dtype, DType::F64, rounding);
        }
    }
}

#[test]
fn gradient_is_the_numeric_one() {
    for (seed, shape) in [[3, 4, 5, 6], [4, 3, 1, 2], [2, 2, 140, 9]].into_iter().enumerate() {
        let mut case = Case::random(seed as u64, shape);
        case.spec.temperature = 0.4;
        let weights = tensor(&[1.0, -0.5], &[1, 2]);
        let error = gradient_error(std::slice::from_ref(&case.queries), 40, |x| {
            Ok(case.fused(&x[0])?.broadcast_mul(&weights)?.sum_all()?)
        });
        assert!(error.unwrap() < 1e-6, "{shape:?}");
    }
}

#[test]
fn without_a_gradient_the_losses_are_the_same() {
    let case = Case::random(8, [5, 3, 40, 30]);
    assert_eq!(values(&case.fused(&case.queries).unwrap()), values(&case.both(DType::F64, true)[0]));
}

#[test]
fn threads_do_not_change_the_bits() {
    let case = Case::random(9, [7, 9, 200, 96]);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| case.both(DType::F32, true).map(|part| values(&part)))
    };
    assert_eq!(with(1), with(3));
}

#[test]
fn vectors_of_no_length_and_equal_rows() {
    let mut case = Case::random(10, [3, 4, 6, 5]);
    // All cosines are 0: each positive is one of `1 + 3 * 6` equal exponentials. The gradient is finite.
    case.queries = case.queries.zeros_like().unwrap();
    let [losses, gradient] = case.both(DType::F64, true);
    assert!(values(&losses).iter().all(|loss| (loss - 19f64.ln()).abs() < 1e-12));
    assert!(values(&gradient).iter().all(|x| x.is_finite()));
    let mut case = Case::random(11, [3, 4, 6, 5]);
    case.bank = case.bank.narrow(1, 0, 1).unwrap().narrow(0, 0, 1).unwrap().broadcast_as((4, 6, 5)).unwrap();
    let [losses, gradient] = case.both(DType::F64, true);
    assert!(values(&losses).iter().all(|loss| (loss - 19f64.ln()).abs() < 1e-12));
    assert!(values(&gradient).iter().all(|x| x.abs() < 1e-12));
    case.bank = case.bank.zeros_like().unwrap();
    assert!(values(&case.both(DType::F64, true)[1]).iter().all(|x| *x == 0.0));
}

#[test]
fn nothing_written_is_no_loss() {
    let mut case = Case::random(12, [3, 4, 6, 5]);
    case.filled = vec![0; 4];
    let [losses, gradient] = case.both(DType::F32, true);
    assert_eq!((values(&losses), values(&gradient)), (vec![0.0; 6], vec![0.0; 15]));
    // A class without rows among others that have some.
    case.filled = vec![6, 0, 2, 6];
    case.classes = vec![[0, 1], [1, 1], [3, 1]];
    let losses = values(&case.both(DType::F64, true)[0]);
    assert!(losses[0] > 0.0 && losses[4] > 0.0);
    assert_eq!([losses[1], losses[2], losses[3], losses[5]], [0.0; 4]);
    case.classes.clear();
    assert_eq!(case.fused(&case.queries.narrow(0, 0, 0).unwrap()).unwrap().dims(), [0, 2]);
}

#[test]
fn what_does_not_fit_is_named() {
    let case = || Case::random(13, [3, 4, 6, 5]);
    let message = |case: Case| case.fused(&case.queries).unwrap_err().to_string();
    assert!(message(Case { classes: vec![[0, 4]; 3], ..case() }).contains("must be below 4"));
    assert!(message(Case { classes: vec![[0, 1]; 2], ..case() }).contains("queries"));
    assert!(message(Case { filled: vec![6, 6, 7, 6], ..case() }).contains("at most 6"));
    assert!(message(Case { filled: vec![6; 3], ..case() }).contains("bank"));
    let spec = MemoryContrastSpec { temperature: 0.0, ..SPEC };
    assert!(message(Case { spec, ..case() }).contains("temperature"));
    let spec = MemoryContrastSpec { clamp_min: f64::NAN, ..SPEC };
    assert!(message(Case { spec, ..case() }).contains("clamp_min"));
}
