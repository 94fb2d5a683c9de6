//! Random inputs, and plain arithmetic for oracles.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::regularizer::ppc::{PixelSampling, PpcConfig, PpcSeeds, PrototypeMining, SemiHardRanks, evaluate};
use candle_wsss::testing::randn;
use candle_wsss::{ClassLayout, ImageLabels, Objective, Pair, Result, SeededSampler};

/// Foreground classes where a test does not say.
pub(crate) const FOREGROUND: usize = 4;

/// Seed of the draws.
pub(crate) const DRAWS: u64 = 11;

/// What the losses take, for both views.
pub(crate) struct Inputs {
    pub(crate) features: Pair<Tensor>,
    pub(crate) cams: Pair<Tensor>,
    pub(crate) labels: ImageLabels,
}

/// Maps are 4 x 5: 5 of the batch's pixels make a prototype. Of five classes, ranks 2 to 4 are negatives.
pub(crate) fn small() -> PpcConfig {
    PpcConfig {
        grid: (4, 5),
        pixels_per_prototype_divisor: 4,
        mining: PrototypeMining::SemiHard(SemiHardRanks { dropped: 1, last_rank: 4 }),
        sampling: PixelSampling::HardHalf { hard_fraction: 0.7 },
        ..PpcConfig::default()
    }
}

impl Inputs {
    /// One entry of `present` per image. Maps have the size of the grid in [`small`], features 6 channels.
    pub(crate) fn random(seed: u64, present: &[&[usize]]) -> Self {
        let present = present.iter().map(|classes| classes.to_vec()).collect();
        Self::of(seed, FOREGROUND, present)
    }

    pub(crate) fn of(seed: u64, foreground: usize, present: Vec<Vec<usize>>) -> Self {
        let layout = ClassLayout::new(foreground).unwrap();
        let n = present.len();
        let pair = |stream: u64, dims: &[usize]| {
            Pair::new(stream, stream + 1)
                .map(|stream| randn(seed.wrapping_mul(100).wrapping_add(stream), dims).unwrap())
        };
        Self {
            features: pair(0, &[n, 6, 4, 5]),
            cams: pair(2, &[n, layout.num_classes(), 4, 5]),
            labels: ImageLabels::new(present, layout, DType::F64, &Device::Cpu).unwrap(),
        }
    }

    pub(crate) fn evaluate(&self, config: &PpcConfig) -> Result<Objective> {
        self.evaluate_at(&self.features, config)
    }

    pub(crate) fn evaluate_at(&self, features: &Pair<Tensor>, config: &PpcConfig) -> Result<Objective> {
        evaluate(features, self.cams.as_ref(), &self.labels, config, &SeededSampler::new(DRAWS))
    }

    pub(crate) fn seeds(&self, config: &PpcConfig) -> PpcSeeds {
        PpcSeeds::new(self.cams.as_ref(), &self.labels, config).unwrap()
    }

    /// Fails unless all terms and the gradients of both features are finite. The objective.
    pub(crate) fn check_finite(&self, config: &PpcConfig) -> Objective {
        let vars = self.features.as_ref().map(|map| Var::from_tensor(map).unwrap());
        let objective = self.evaluate_at(&vars.as_ref().map(|var| var.as_tensor().clone()), config).unwrap();
        for term in objective.terms.scalars().unwrap() {
            assert!(term.value.is_finite(), "{}", term.name);
        }
        if let Some(total) = objective.terms.total().unwrap() {
            let gradients = total.backward().unwrap();
            for var in [&vars.source, &vars.target] {
                assert!(numbers(gradients.get(var).unwrap()).iter().all(|x| x.is_finite()));
            }
        }
        objective
    }
}

/// The value of a term before its weight.
pub(crate) fn value(objective: &Objective, name: &str) -> f64 {
    let term = objective.terms.get(name).unwrap_or_else(|| panic!("no term {name}"));
    term.value.to_scalar::<f64>().unwrap()
}

/// Names of the terms left out.
pub(crate) fn omitted(objective: &Objective) -> Vec<&str> {
    objective.terms.omitted().iter().map(|term| term.name.as_str()).collect()
}

/// All elements, row-major.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Rows of a matrix.
pub(crate) fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    tensor.to_dtype(DType::F64).unwrap().to_vec2().unwrap()
}

/// Pixels `n*h*w + y*w + x` of a map `(N, D, h, w)`, each of `D` numbers.
pub(crate) fn pixels(map: &Tensor) -> Vec<Vec<f64>> {
    let (n, d, h, w) = map.dims4().unwrap();
    let all = numbers(map);
    (0..n * h * w).map(|p| (0..d).map(|c| all[(p / (h * w) * d + c) * h * w + p % (h * w)]).collect()).collect()
}

pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

pub(crate) fn unit(a: &[f64]) -> Vec<f64> {
    let norm = dot(a, a).sqrt().max(1e-12);
    a.iter().map(|a| a / norm).collect()
}

/// Indices, the largest first, the lowest index first among equals.
pub(crate) fn descending(scores: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order
}

pub(crate) fn assert_near(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-10 * want.abs().max(1.0), "{what}: got {got}, want {want}");
}
