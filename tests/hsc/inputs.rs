//! Random inputs of the levels, and plain arithmetic for their oracles.

use candle_core::{DType, Device, Tensor, Var};
use candle_wsss::regularizer::hsc::Level;
use candle_wsss::seed::{background, min_max_norm, pseudo_label};
use candle_wsss::testing::randn;
use candle_wsss::{ClassLayout, ImageLabels, Pair, PrototypeBank, Result};

/// Foreground classes of all random inputs.
pub(crate) const FOREGROUND: usize = 4;

/// Everything the levels take, for both views.
pub(crate) struct Inputs {
    pub(crate) features: Pair<Tensor>,
    pub(crate) scores: Pair<Tensor>,
    pub(crate) labels: Pair<Tensor>,
    pub(crate) image_labels: ImageLabels,
    /// `(num_classes, D)`.
    pub(crate) banks: Pair<PrototypeBank>,
    /// `(2, D)`.
    pub(crate) region_banks: Pair<PrototypeBank>,
}

impl Inputs {
    /// One entry of `present` per image. Maps are 4 x 5, features have 6 channels.
    pub(crate) fn random(seed: u64, present: &[&[usize]]) -> Self {
        let layout = ClassLayout::new(FOREGROUND).unwrap();
        let present: Vec<Vec<usize>> = present.iter().map(|classes| classes.to_vec()).collect();
        let n = present.len();
        let image_labels = ImageLabels::new(present, layout, DType::F64, &Device::Cpu).unwrap();
        let draw = |stream: u64, dims: &[usize]| randn(seed.wrapping_mul(100).wrapping_add(stream), dims).unwrap();
        let pair = |stream: u64, dims: &[usize]| Pair::new(draw(stream, dims), draw(stream + 1, dims));
        let scores = pair(0, &[n, layout.num_classes(), 4, 5])
            .try_map(|cam| background::constant(&min_max_norm(&cam)?, 0.1))
            .unwrap();
        let labels = scores.as_ref().try_map(|scores| pseudo_label(scores, &image_labels)).unwrap();
        let bank = |rows: Tensor| PrototypeBank::from_rows(&rows);
        Self {
            features: pair(2, &[n, 6, 4, 5]),
            scores,
            labels,
            image_labels,
            banks: pair(4, &[layout.num_classes(), 6]).map(bank),
            region_banks: pair(6, &[2, 6]).map(bank),
        }
    }

    pub(crate) fn layout(&self) -> ClassLayout {
        self.image_labels.layout()
    }

    pub(crate) fn swapped(self) -> Self {
        Self {
            features: self.features.swapped(),
            scores: self.scores.swapped(),
            labels: self.labels.swapped(),
            image_labels: self.image_labels,
            banks: self.banks.swapped(),
            region_banks: self.region_banks.swapped(),
        }
    }
}

/// The value of a term before its weight.
pub(crate) fn value(level: &Level, name: &str) -> f64 {
    let term = level.terms.get(name).unwrap_or_else(|| panic!("no term {name}"));
    term.value.to_scalar::<f64>().unwrap()
}

/// The weighted sum.
pub(crate) fn total(level: &Level) -> Result<Tensor> {
    Ok(level.terms.total()?.expect("a term"))
}

/// Fails unless everything is finite: terms, gradients of both features, banks.
pub(crate) fn check_finite(features: &Pair<Tensor>, f: impl Fn(&Pair<Tensor>) -> Result<Level>) {
    let vars = features.as_ref().map(|f| Var::from_tensor(f).unwrap());
    let level = f(&vars.as_ref().map(|var| var.as_tensor().clone())).unwrap();
    for term in level.terms.iter() {
        assert!(term.value.to_scalar::<f64>().unwrap().is_finite(), "{}", term.name);
    }
    for bank in [&level.banks.source, &level.banks.target] {
        assert!(numbers(bank.rows()).iter().all(|x| x.is_finite()));
    }
    let Some(total) = level.terms.total().unwrap() else { return };
    let gradients = total.backward().unwrap();
    for var in [&vars.source, &vars.target] {
        if let Some(gradient) = gradients.get(var) {
            assert!(numbers(gradient).iter().all(|x| x.is_finite()));
        }
    }
}

/// All elements, row-major.
pub(crate) fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Rows of a matrix.
pub(crate) fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    tensor.to_vec2().unwrap()
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

pub(crate) fn mixed(fresh: &[f64], old: &[f64], momentum: f64) -> Vec<f64> {
    fresh.iter().zip(old).map(|(fresh, old)| (1.0 - momentum) * fresh + momentum * old).collect()
}

/// `-ln softmax(logits)[label]`, by the quotient.
pub(crate) fn cross_entropy(logits: &[f64], label: usize) -> f64 {
    let sum: f64 = logits.iter().map(|l| l.exp()).sum();
    -(logits[label].exp() / sum).ln()
}

/// Indices of the `k` largest, the lowest index first among equals.
pub(crate) fn best(scores: &[f64], k: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(k);
    order
}

/// Score-weighted mean of pixels, as a unit vector.
pub(crate) fn weighted_mean(pixels: &[Vec<f64>], scores: &[f64], chosen: &[usize]) -> Vec<f64> {
    let weight: f64 = chosen.iter().map(|i| scores[*i]).sum();
    let mut mean = vec![0.0; pixels[0].len()];
    for &i in chosen {
        for (mean, x) in mean.iter_mut().zip(&pixels[i]) {
            *mean += scores[i] * x / weight;
        }
    }
    unit(&mean)
}

pub(crate) fn assert_near(what: &str, got: f64, want: f64) {
    assert!((got - want).abs() <= 1e-10 * want.abs().max(1.0), "{what}: got {got}, want {want}");
}

pub(crate) fn assert_rows(what: &str, got: &Tensor, want: &[Vec<f64>]) {
    let got = rows(got);
    assert_eq!(got.len(), want.len(), "{what}");
    for (got, want) in got.iter().flatten().zip(want.iter().flatten()) {
        assert_near(what, *got, *want);
    }
}
