//! Pixels against class prototypes: all contrastive terms of a view in one pass over its features.

mod composed;
mod cpu;
mod device;
mod lanes;
mod network;
mod sampling;
mod terms;
mod tile;

use std::ops::Range;
use std::sync::Arc;

use candle_core::{DType, Tensor};

pub use self::composed::composed;
use self::cpu::Contrast;
use self::network::Network;
use super::kernel::apply2;
use crate::error::{Error, Result, expect_shape};
use crate::sampler::HashKey;

/// What the pixels of one view are held against.
#[derive(Clone, Copy, Debug)]
pub struct ContrastInputs<'a> {
    /// `(S, K, D)`: sets of a prototype for each of `K` classes. No gradient reaches them.
    pub prototypes: &'a Tensor,
    /// `(L, P)` of `u32`: the class of each pixel, in several opinions. On the CPU a class beyond the last is an error;
    /// elsewhere such a pixel is left out.
    pub labels: &'a Tensor,
    /// Whether each of the `K` classes is among the candidates. `None` for all. A pixel's own class always takes part.
    pub allowed: Option<&'a [bool]>,
    /// Divisor of the similarities.
    pub temperature: f64,
}

/// One term: a weighted sum over pixels.
#[derive(Clone, Debug)]
pub struct ContrastTerm {
    /// Which set of prototypes.
    pub prototypes: usize,
    /// Which row of the labels.
    pub labels: usize,
    /// What is in the denominator beside the own class.
    pub negatives: Negatives,
    /// What each pixel weighs.
    pub weights: PixelWeights,
}

/// Classes a pixel is contrasted with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Negatives {
    /// All candidates but the own class.
    All,
    /// Candidates of these ranks, counted from 0 at the most similar; of equal ones the lowest class comes first.
    Ranked {
        /// At least one rank, all of which exist.
        ranks: Range<usize>,
        /// Whether the own class takes a rank; when that is in the range, it counts twice in the denominator.
        own: bool,
    },
}

/// What each pixel weighs in a term.
#[derive(Clone, Debug)]
pub enum PixelWeights {
    /// `1 / P`.
    Uniform,
    /// `(P)`, of the features' type.
    Each(Tensor),
    /// Classes weigh the same, and so do the chosen pixels of a class.
    Classes {
        /// Which pixels of a class are chosen. `None` for all of them.
        half: Option<HardHalf>,
        /// Whether classes without a chosen pixel count in the mean over classes.
        count_empty: bool,
    },
}

/// Of a class of `n` pixels, `⌊n/2⌋` at random and `⌊n/2⌋` hard ones: of the `⌊fraction n⌋` pixels least similar to their
/// prototype, the more similar ones. A pixel may be both and counts twice.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HardHalf {
    /// Share of a class's pixels that may be hard ones, in `[0.5, 1]`.
    pub fraction: f64,
    /// Those with the smallest draws are the random half; positions among the pixels of a class are what is drawn for.
    pub key: HashKey,
}

/// `Σ_p w_p (ln Σ_c m_pc exp(l_pc) - l_p,label)` for each term, with `l_pc = unit(f_p)·P_c / T` and `m_pc` how often class
/// `c` counts in the denominator of pixel `p`: once for its own class and once for each of its negatives.
///
/// Equals [`composed`]. Here no similarity outlives its tile of pixels: the backward pass computes them again, and what is
/// kept is a number for each pixel of a term with [`HardHalf`]. Sums are taken in float32 or better, whatever the type of
/// the features. The gradient goes to the features alone.
///
/// # Shapes
/// `features (N, D, h, w)` to `(terms)`, `P = N*h*w`.
///
/// # Errors
/// When a shape does not fit, a term names a set, a row or a rank that there is not, there is nothing to contrast, or the
/// temperature is not above 0.
///
/// # Examples
/// ```
/// use candle_core::{Device, Tensor};
/// use candle_wsss::ops::{ContrastInputs, ContrastTerm, Negatives, PixelWeights, prototype_contrast};
///
/// // Two pixels of two channels, each on the prototype of its class.
/// let features = Tensor::new(&[[[[2.0f64, 0.0]], [[0.0, 3.0]]]], &Device::Cpu)?;
/// let prototypes = Tensor::new(&[[[1.0f64, 0.0], [0.0, 1.0]]], &Device::Cpu)?;
/// let labels = Tensor::new(&[[0u32, 1]], &Device::Cpu)?;
/// let inputs = ContrastInputs { prototypes: &prototypes, labels: &labels, allowed: None, temperature: 0.5 };
/// let term =
///     ContrastTerm { prototypes: 0, labels: 0, negatives: Negatives::All, weights: PixelWeights::Uniform };
/// let values = prototype_contrast(&features, &inputs, &[term.clone()])?.to_vec1::<f64>()?;
/// assert!((values[0] - (1.0 + (-2f64).exp()).ln()).abs() < 1e-12);
/// let beyond = ContrastTerm { prototypes: 1, ..term };
/// assert!(prototype_contrast(&features, &inputs, &[beyond]).is_err());
/// # Ok::<(), candle_wsss::Error>(())
/// ```
pub fn prototype_contrast(features: &Tensor, inputs: &ContrastInputs<'_>, terms: &[ContrastTerm]) -> Result<Tensor> {
    let plan = Plan::new(features, inputs, terms)?;
    let contrast = Contrast { plan: Arc::new(plan) };
    // The values of the terms, then what the backward pass needs.
    let prototypes = inputs.prototypes.detach().to_dtype(features.dtype())?;
    let result = apply2(contrast, features, &prototypes)?;
    Ok(result.narrow(0, 0, terms.len())?)
}

/// Checked arguments, as the kernels see them.
#[derive(Debug)]
struct Plan {
    sets: usize,
    classes: usize,
    pixels: usize,
    // Candidates, ascending, and the same as a mask.
    columns: Vec<usize>,
    is_allowed: Vec<bool>,
    // Puts them in order.
    network: Network,
    // The same where the features are, unless all are candidates.
    mask: Option<Tensor>,
    temperature: f64,
    // (L, P)
    labels: Tensor,
    terms: Vec<ContrastTerm>,
}

// `F.normalize`'s.
const NORMALIZE_EPSILON: f64 = 1e-12;

impl Plan {
    fn new(features: &Tensor, inputs: &ContrastInputs<'_>, terms: &[ContrastTerm]) -> Result<Self> {
        expect_shape("features", features, ["N".into(), "D".into(), "h".into(), "w".into()])?;
        let (n, dim, h, w) = features.dims4()?;
        let pixels = n * h * w;
        expect_shape("prototypes", inputs.prototypes, ["S".into(), "K".into(), dim.into()])?;
        expect_shape("labels of the pixels", inputs.labels, ["L".into(), pixels.into()])?;
        let (sets, classes, _) = inputs.prototypes.dims3()?;
        let is_allowed = match inputs.allowed {
            None => vec![true; classes],
            Some(allowed) if allowed.len() == classes => allowed.to_vec(),
            Some(allowed) => {
                let reason = format!("expected one for each of {classes} classes, got {}", allowed.len());
                return Err(Error::value("allowed classes", reason));
            }
        };
        let columns: Vec<usize> = (0..classes).filter(|class| is_allowed[*class]).collect();
        if pixels == 0 || columns.is_empty() || terms.is_empty() {
            let reason = format!("of {pixels} pixels with {} classes in {} terms", columns.len(), terms.len());
            return Err(Error::value("prototype contrast", format!("expected at least one of each, got one {reason}")));
        }
        if !(inputs.temperature > 0.0 && inputs.temperature.is_finite()) {
            let reason = format!("must be above 0, is {}", inputs.temperature);
            return Err(Error::value("temperature of the contrast", reason));
        }
        if inputs.labels.dtype() != DType::U32 {
            return Err(Error::value("labels of the pixels", format!("must be u32, are {:?}", inputs.labels.dtype())));
        }
        let plan = Self {
            sets,
            classes,
            pixels,
            network: Network::new(columns.len()),
            columns,
            mask: device::mask(&is_allowed, features)?,
            is_allowed,
            temperature: inputs.temperature,
            labels: inputs.labels.contiguous()?,
            terms: terms.to_vec(),
        };
        plan.terms.iter().try_for_each(|term| plan.check(term, features.dtype()))?;
        Ok(plan)
    }

    fn check(&self, term: &ContrastTerm, dtype: DType) -> Result<()> {
        let beyond = |what: &str, index: usize, count: usize| {
            Error::value(format!("{what} of a contrastive term"), format!("expected one below {count}, got {index}"))
        };
        if term.prototypes >= self.sets {
            return Err(beyond("prototypes", term.prototypes, self.sets));
        }
        if term.labels >= self.labels.dim(0)? {
            return Err(beyond("labels", term.labels, self.labels.dim(0)?));
        }
        if let Negatives::Ranked { ranks, own } = &term.negatives {
            let ranked = self.columns.len() - usize::from(!own);
            if ranks.is_empty() || ranks.end > ranked {
                let reason = format!("expected a range of ranks below {ranked}, got {ranks:?}");
                return Err(Error::value("ranks of a contrastive term", reason));
            }
        }
        match &term.weights {
            PixelWeights::Uniform | PixelWeights::Classes { half: None, .. } => Ok(()),
            PixelWeights::Each(weights) => {
                expect_shape("weights of the pixels", weights, [self.pixels.into()])?;
                if weights.dtype() == dtype {
                    return Ok(());
                }
                let reason = format!("must be {dtype:?} as the features, are {:?}", weights.dtype());
                Err(Error::value("weights of the pixels", reason))
            }
            PixelWeights::Classes { half: Some(half), .. } if (0.5..=1.0).contains(&half.fraction) => Ok(()),
            PixelWeights::Classes { half: Some(half), .. } => {
                let reason = format!("must be between 0.5 and 1, is {}", half.fraction);
                Err(Error::value("fraction of hard pixels", reason))
            }
        }
    }

    /// Terms whose pixels are sampled, in order: each has a row of multiplicities behind the values.
    fn sampled(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.terms.len()).filter(|term| self.terms[*term].is_sampled())
    }

    /// Numbers the forward pass gives: values, then how often each pixel was chosen in each sampled term.
    fn len(&self) -> usize {
        self.terms.len() + self.sampled().count() * self.pixels
    }
}

impl ContrastTerm {
    fn is_sampled(&self) -> bool {
        matches!(self.weights, PixelWeights::Classes { half: Some(_), .. })
    }

    /// The ranks of its negatives and whether the own class takes one, if they are ranked.
    fn ranks(&self) -> Option<(&Range<usize>, bool)> {
        match &self.negatives {
            Negatives::All => None,
            Negatives::Ranked { ranks, own } => Some((ranks, *own)),
        }
    }
}
