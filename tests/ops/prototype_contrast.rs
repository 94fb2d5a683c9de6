//! Pixels against prototypes: fused against composed, and what is known of the result.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::ops::{
    ContrastInputs, ContrastTerm, HardHalf, Negatives, PixelWeights, prototype_contrast, prototype_contrast_composed,
};
use candle_wsss::testing::{assert_close, gradient_error, is_emulated, randn};
use candle_wsss::{HashKey, Result};

use super::values;

/// What an operation is given, on the CPU in float64.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) features: Tensor,
    pub(crate) prototypes: Tensor,
    pub(crate) labels: Tensor,
    pub(crate) allowed: Option<Vec<bool>>,
    pub(crate) temperature: f64,
    pub(crate) terms: Vec<ContrastTerm>,
}

/// Sizes of a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    pub(crate) features: [usize; 4],
    pub(crate) sets: usize,
    pub(crate) classes: usize,
}

pub(crate) const SIZES: [Sizes; 7] = [
    Sizes { features: [2, 5, 3, 4], sets: 2, classes: 4 },
    Sizes { features: [1, 1, 1, 1], sets: 1, classes: 1 },
    Sizes { features: [3, 7, 5, 3], sets: 3, classes: 9 },
    // More pixels than a tile, in several images.
    Sizes { features: [2, 9, 17, 19], sets: 2, classes: 21 },
    Sizes { features: [1, 33, 16, 16], sets: 2, classes: 6 },
    Sizes { features: [2, 4, 7, 1], sets: 1, classes: 40 },
    // More than a block of a GPU has room for, in float64.
    Sizes { features: [1, 3, 5, 2], sets: 3, classes: 90 },
];

impl Case {
    /// Random features and labels; a term of every kind over every set.
    pub(crate) fn random(seed: u64, sizes: Sizes, allowed: Option<Vec<bool>>) -> Self {
        let Sizes { features, sets, classes } = sizes;
        let [n, dim, h, w] = features;
        let pixels = n * h * w;
        let prototypes = randn(seed + 1, &[sets, classes, dim]).unwrap();
        let norm = prototypes.sqr().unwrap().sum_keepdim(2).unwrap().sqrt().unwrap();
        // Pseudo-random, and not all classes alike.
        let label = |i: usize| (HashKey::new(seed).draw(0, i as u32) as usize % (classes * 2)).min(classes - 1) as u32;
        let labels: Vec<u32> = (0..2 * pixels).map(label).collect();
        let candidates = allowed.as_ref().map_or(classes, |allowed| allowed.iter().filter(|allowed| **allowed).count());
        Self {
            name: format!("{sizes:?}, seed {seed}, of {candidates} candidates"),
            features: randn(seed, &features).unwrap(),
            prototypes: prototypes.broadcast_div(&norm).unwrap(),
            labels: Tensor::from_vec(labels, (2, pixels), &Device::Cpu).unwrap(),
            terms: terms(seed, sets, candidates, pixels),
            allowed,
            temperature: 0.2,
        }
    }

    /// Half of the candidates or all of them.
    pub(crate) fn all(seed: u64) -> Vec<Self> {
        let some = |sizes: Sizes| (0..sizes.classes).map(|class| class % 2 == 0).collect();
        SIZES
            .iter()
            .flat_map(|sizes| [Self::random(seed, *sizes, None), Self::random(seed, *sizes, Some(some(*sizes)))])
            .collect()
    }

    fn only(&self, terms: impl Fn(&ContrastTerm) -> bool) -> Self {
        let terms = self.terms.iter().filter(|term| terms(term)).cloned().collect();
        Self { terms, ..self.clone() }
    }

    pub(crate) fn fused(&self, features: &Tensor) -> Result<Tensor> {
        self.run(features, prototype_contrast)
    }

    fn composed(&self, features: &Tensor) -> Result<Tensor> {
        self.run(features, prototype_contrast_composed)
    }

    fn run(
        &self,
        features: &Tensor,
        op: impl Fn(&Tensor, &ContrastInputs<'_>, &[ContrastTerm]) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let like = |x: &Tensor| x.to_device(features.device())?.to_dtype(features.dtype());
        let terms = self.terms.iter().map(|term| {
            let weights = match &term.weights {
                PixelWeights::Each(weights) => PixelWeights::Each(like(weights)?),
                other => other.clone(),
            };
            Ok(ContrastTerm { weights, ..term.clone() })
        });
        let inputs = ContrastInputs {
            prototypes: &like(&self.prototypes)?,
            labels: &self.labels.to_device(features.device())?,
            allowed: self.allowed.as_deref(),
            temperature: self.temperature,
        };
        op(features, &inputs, &terms.collect::<Result<Vec<_>>>()?)
    }
}

fn terms(seed: u64, sets: usize, candidates: usize, pixels: usize) -> Vec<ContrastTerm> {
    let key = HashKey::new(seed);
    let half = Some(HardHalf { fraction: 0.7, key });
    let each = randn(seed + 2, &[pixels]).unwrap().abs().unwrap();
    let weights = [
        PixelWeights::Uniform,
        PixelWeights::Each(each),
        PixelWeights::Classes { half: None, count_empty: true },
        PixelWeights::Classes { half, count_empty: true },
        PixelWeights::Classes { half, count_empty: false },
    ];
    let ranked = |from: usize, to: usize, own: bool| {
        let ranks = from..to.min(candidates - usize::from(!own));
        (!ranks.is_empty()).then_some(Negatives::Ranked { ranks, own })
    };
    // The last two are more than it is worth to insert one by one, where there are many classes.
    let (quarter, most) = (candidates / 4, candidates.div_ceil(2));
    let negatives: Vec<Negatives> = [
        Some(Negatives::All),
        ranked(1, 3, true),
        ranked(0, 5, false),
        ranked(3, 13, true),
        ranked(0, 1, true),
        ranked(quarter, quarter + most, true),
        ranked(1, candidates, false),
    ]
    .into_iter()
    .flatten()
    .collect();
    let term = |i: usize| ContrastTerm {
        prototypes: i % sets,
        labels: i / 2 % 2,
        negatives: negatives[i % negatives.len()].clone(),
        weights: weights[i % weights.len()].clone(),
    };
    // 5 and 7 have no factor in common, so that pairs vary.
    (0..3 * sets + 2).chain([7, 13, 18, 23]).map(term).collect()
}

/// The value, and the gradient of the features by every term with a weight of its own.
fn with_gradient(features: &Tensor, f: impl Fn(&Tensor) -> Result<Tensor>) -> (Tensor, Tensor) {
    let features = Var::from_tensor(features).unwrap();
    let result = f(features.as_tensor()).unwrap();
    let weights = randn(77, result.dims()).unwrap().to_dtype(result.dtype()).unwrap();
    let gradients = (&result * weights).unwrap().sum_all().unwrap().backward().unwrap();
    (result.detach(), gradients.get(&features).unwrap().clone())
}

fn check_against_composed(case: &Case, dtype: DType, tolerance: f64) {
    let features = case.features.to_dtype(dtype).unwrap();
    let (got, got_gradient) = with_gradient(&features, |x| case.fused(x));
    // The composed form has the numbers of `dtype`, but float64 arithmetic.
    let (want, want_gradient) = with_gradient(&features.to_dtype(DType::F64).unwrap(), |x| {
        let rounded = Case { prototypes: case.prototypes.to_dtype(dtype)?.to_dtype(DType::F64)?, ..case.clone() };
        rounded.composed(x)
    });
    assert_eq!(got.dtype(), dtype);
    for (what, got, want) in [("value", got, want), ("gradient", got_gradient, want_gradient)] {
        let (got, want) = (values(&got), values(&want));
        // Where classes or dimensions are too few for a gradient, nothing but rounding is left of it.
        let scale = want.iter().fold(1e-3, |scale: f64, x| scale.max(x.abs()));
        let error = got.iter().zip(&want).fold(0.0, |error: f64, (got, want)| error.max((got - want).abs())) / scale;
        assert!(error <= tolerance, "{what}, {}: {error}", case.name);
    }
}

#[test]
fn it_is_the_composed_form() {
    for seed in 0..4 {
        for case in Case::all(seed * 10) {
            check_against_composed(&case, DType::F64, 1e-11);
        }
    }
}

#[test]
fn float32_is_near_the_composed_form() {
    for case in Case::all(5) {
        check_against_composed(&case, DType::F32, 3e-5);
    }
}

#[test]
fn half_precision_rounds_once() {
    // Without samples and ranks, which one rounding may change.
    for case in Case::all(6) {
        let case = case.only(|term| {
            term.negatives == Negatives::All && !matches!(term.weights, PixelWeights::Classes { half: Some(_), .. })
        });
        check_against_composed(&case, DType::F16, 2e-3);
        check_against_composed(&case, DType::BF16, 2e-2);
    }
}

#[test]
fn gradient_is_the_numeric_one() {
    for case in Case::all(7).into_iter().filter(|case| case.features.elem_count() < 1000) {
        let weights = randn(1, &[case.terms.len()]).unwrap();
        let error = gradient_error(std::slice::from_ref(&case.features), 60, |x| {
            Ok((case.fused(&x[0])? * &weights)?.sum_all()?)
        });
        let error = error.unwrap();
        assert!(error < 1e-6, "{}: {error}", case.name);
    }
}

#[test]
fn ties_go_to_the_lowest_class() {
    // Two prototypes and two copies of each: of equal logits, ranks 1 and 2 are classes 1 and 2 of the order 0, 2, 1, 3.
    let rows = Tensor::new(&[[[1f64, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]], &Device::Cpu).unwrap();
    let case = Case {
        name: "ties".to_string(),
        features: Tensor::new(&[2f64, 1.0], &Device::Cpu).unwrap().reshape((1, 2, 1, 1)).unwrap(),
        prototypes: rows,
        labels: Tensor::new(&[[3u32]], &Device::Cpu).unwrap(),
        allowed: None,
        temperature: 1.0,
        terms: Vec::new(),
    };
    let cosines = [2.0 / 5f64.sqrt(), 1.0 / 5f64.sqrt()];
    let [near, far] = cosines.map(f64::exp);
    let loss = |ranks: std::ops::Range<usize>, own: bool| {
        let negatives = Negatives::Ranked { ranks, own };
        let term = ContrastTerm { prototypes: 0, labels: 0, negatives, weights: PixelWeights::Uniform };
        let case = Case { terms: vec![term], ..case.clone() };
        assert_close("composed", &case.fused(&case.features).unwrap(), &case.composed(&case.features).unwrap(), 1e-14)
            .unwrap();
        values(&case.fused(&case.features).unwrap())[0]
    };
    for (ranks, own, sum) in
        [(1..3, true, near + far), (0..1, true, near), (2..4, true, 2.0 * far), (2..3, false, far), (1..2, false, near)]
    {
        let want = (far + sum).ln() - cosines[1];
        assert!((loss(ranks.clone(), own) - want).abs() < 1e-12, "{ranks:?}");
    }
}

#[test]
fn equal_prototypes_leave_pure_chance() {
    for case in Case::all(8) {
        let case = case.only(|term| term.negatives == Negatives::All && matches!(term.weights, PixelWeights::Uniform));
        let one = case.prototypes.narrow(1, 0, 1).unwrap();
        let prototypes = one.broadcast_as(case.prototypes.shape()).unwrap().contiguous().unwrap();
        let case = Case { prototypes, allowed: None, ..case };
        let (value, gradient) = with_gradient(&case.features, |x| case.fused(x));
        let classes = case.prototypes.dim(1).unwrap() as f64;
        assert!(values(&value).iter().all(|value| (value - classes.ln()).abs() < 1e-12));
        assert!(values(&gradient).iter().all(|gradient| gradient.abs() < 1e-12));
    }
}

#[test]
fn zero_vectors_and_far_logits_stay_finite() {
    for case in Case::all(9) {
        for stretch in [1.0, 1e3] {
            let case = Case { prototypes: (&case.prototypes * stretch).unwrap(), ..case.clone() };
            for dtype in [DType::F32, DType::F64] {
                for features in [case.features.zeros_like().unwrap(), case.features.clone()] {
                    let (value, gradient) = with_gradient(&features.to_dtype(dtype).unwrap(), |x| case.fused(x));
                    let mut all = values(&value).into_iter().chain(values(&gradient));
                    assert!(all.all(f64::is_finite), "{} {dtype:?}", case.name);
                }
            }
        }
    }
}

#[test]
fn a_class_without_pixels_and_classes_of_one_pixel_weigh_nothing() {
    let sizes = Sizes { features: [1, 3, 2, 2], sets: 1, classes: 6 };
    let labels = Tensor::new(&[[0u32, 2, 3, 5]], &Device::Cpu).unwrap();
    let case = Case { labels, ..Case::random(3, sizes, None) };
    for count_empty in [false, true] {
        let half = Some(HardHalf { fraction: 0.6, key: HashKey::new(1) });
        let weights = PixelWeights::Classes { half, count_empty };
        let term = ContrastTerm { prototypes: 0, labels: 0, negatives: Negatives::All, weights };
        let case = Case { terms: vec![term], ..case.clone() };
        let (value, gradient) = with_gradient(&case.features, |x| case.fused(x));
        assert!(values(&value).into_iter().chain(values(&gradient)).all(|x| x == 0.0));
    }
}

#[test]
fn threads_do_not_change_the_bits() {
    let case = Case::random(11, SIZES[3], None);
    let run = || with_gradient(&case.features.to_dtype(DType::F32).unwrap(), |x| case.fused(x));
    let of_threads = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let (value, gradient) = pool.install(run);
        (values(&value), values(&gradient))
    };
    assert_eq!(of_threads(1), of_threads(3));
}

#[test]
fn strided_features_are_taken() {
    let case = Case::random(12, SIZES[2], None);
    let [n, dim, h, w] = SIZES[2].features;
    let turned = case.features.permute((0, 2, 3, 1)).unwrap().contiguous().unwrap().permute((0, 3, 1, 2)).unwrap();
    assert_eq!(turned.dims(), [n, dim, h, w]);
    assert_eq!(values(&case.fused(&turned).unwrap()), values(&case.fused(&case.features).unwrap()));
}

#[test]
fn what_does_not_fit_is_named() {
    let case = Case::random(13, SIZES[0], None);
    let message = |change: &dyn Fn(&mut Case)| {
        let mut case = case.clone();
        change(&mut case);
        case.fused(&case.features).unwrap_err().to_string()
    };
    let rank = |case: &mut Case, ranks: std::ops::Range<usize>| {
        case.terms[0].negatives = Negatives::Ranked { ranks, own: false };
    };
    let narrow = |x: &Tensor, dim: usize| x.narrow(dim, 0, 1).unwrap();
    assert!(message(&|case| case.features = narrow(&case.features, 1)).contains("prototypes"));
    assert!(message(&|case| case.features = narrow(&case.features, 2)).contains("labels"));
    assert!(message(&|case| case.terms[0].prototypes = 2).contains("prototypes"));
    assert!(message(&|case| case.terms[0].labels = 2).contains("labels"));
    assert!(message(&|case| case.terms.clear()).contains("terms"));
    assert!(message(&|case| case.temperature = 0.0).contains("temperature"));
    assert!(message(&|case| case.allowed = Some(vec![true])).contains("allowed classes"));
    assert!(message(&|case| case.allowed = Some(vec![false; 4])).contains("at least one"));
    assert!(message(&|case| rank(case, 0..4)).contains("ranks"));
    assert!(message(&|case| rank(case, 2..2)).contains("ranks"));
    // Nobody reads the labels on a device.
    assert!(is_emulated() || message(&|case| case.labels = (&case.labels + 9f64).unwrap()).contains("below 4"));
}
