//! [`CrfConfig`]: how seeds become masks, one preset per paper.

use candle_wsss::Error;
use candle_wsss::ops::DenseCrfConfig;
use serde::{Deserialize, Serialize};

use crate::data::VOC_CLASSES;
use crate::error::Result;

/// What stands against the classes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Background {
    /// `(1 - max_c score_c)^alpha`; scores and this enter the CRF as probabilities. A small `alpha` keeps background, a
    /// large one foreground.
    Power {
        /// The exponent, positive.
        alpha: f64,
    },
    /// A fixed score: the seeds become labels by it, and the labels enter the CRF.
    Score {
        /// The score, 0 or more.
        score: f64,
    },
    /// As [`Self::Power`], then the posterior of the classes against `1 - saliency`, with pixels left open where these
    /// contradict each other. Needs a saliency map.
    Saliency(SaliencyRules),
}

/// When a pixel of [`Background::Saliency`] is left open (void). Scores are in `[0, 1]`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SaliencyRules {
    /// Exponent of the background that enters the CRF.
    pub alpha: f64,
    /// Open where more than one of the classes and the background is above this.
    pub conflict_above: f64,
    /// Open where the label is background, but the saliency map has this level of 255 or more.
    pub salient_from: u8,
    /// Open where the label is background, but a class is above this.
    pub confident_above: f64,
    /// The whole image is open where less than this share of it has a class.
    pub min_foreground: f64,
}

impl Default for SaliencyRules {
    /// The constants of RCA's released code.
    fn default() -> Self {
        Self { alpha: 4.0, conflict_above: 0.9, salient_from: 32, confident_above: 0.8, min_foreground: 0.01 }
    }
}

/// Which labels enter the CRF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CrfLabels {
    /// The background and the classes of the image: SEAM, EPS, RCA, and PPC and HSC on EPS.
    #[default]
    Present,
    /// The background and every class of the data set: PPC's refinement of labels. Absent classes share what a label
    /// leaves to the others, and cost the time of one of them.
    DataSet,
}

/// Order in which colours enter the lattice. The kernel does not depend on it, its approximation does, in a few pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColourOrder {
    /// Red first.
    #[default]
    Rgb,
    /// Blue first: RCA's released code, which reads images with `OpenCV`.
    Bgr,
}

/// How seeds become masks through a dense CRF. The default is [`Self::seam`] at an exponent of 4.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CrfConfig {
    /// Kernels and iterations.
    pub model: DenseCrfConfig,
    /// What stands against the classes.
    pub background: Background,
    /// Which labels enter.
    pub labels: CrfLabels,
    /// Classes of the data set, without the background, where all of them enter. The program asks the data set without
    /// it ([`Self::for_classes`]), the library takes VOC's twenty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_classes: Option<usize>,
    /// Order in which colours enter.
    pub colours: ColourOrder,
}

impl Default for CrfConfig {
    fn default() -> Self {
        Self::seam(4.0)
    }
}

impl CrfConfig {
    /// SEAM: probabilities, 10 iterations. Its AffinityNet takes an exponent of 4 for the background it trusts, and of 24
    /// for the foreground.
    pub fn seam(alpha: f64) -> Self {
        Self {
            model: DenseCrfConfig::seam_soft(),
            background: Background::Power { alpha },
            labels: CrfLabels::Present,
            num_classes: None,
            colours: ColourOrder::Rgb,
        }
    }

    /// PPC on SEAM: labels at a background score of 0.26, each right with probability 0.7, 10 iterations.
    pub fn ppc_labels() -> Self {
        Self {
            model: DenseCrfConfig::hsc_labels(),
            background: Background::Score { score: 0.26 },
            labels: CrfLabels::DataSet,
            ..Self::default()
        }
    }

    /// PPC on EPS: as [`Self::seam`] with an exponent of 8 and 5 iterations.
    pub fn eps_labels() -> Self {
        Self::power(8.0, 5)
    }

    /// HSC on EPS: as [`Self::seam`] with an exponent of 7 and 8 iterations.
    pub fn hsc() -> Self {
        Self::power(7.0, 8)
    }

    /// RCA: probabilities with an exponent of 4, 10 iterations, then saliency.
    pub fn rca() -> Self {
        Self {
            background: Background::Saliency(SaliencyRules::default()),
            colours: ColourOrder::Bgr,
            ..Self::default()
        }
    }

    fn power(alpha: f64, iterations: usize) -> Self {
        Self { model: DenseCrfConfig { iterations, ..DenseCrfConfig::seam_soft() }, ..Self::seam(alpha) }
    }

    /// Labels of the data set, the background included.
    pub(super) fn data_set_labels(&self) -> usize {
        self.num_classes.unwrap_or(VOC_CLASSES.len()) + 1
    }

    /// For a data set of so many classes, the background not counted: all of them enter, where all of a data set do.
    ///
    /// # Errors
    /// When `num_classes` is set to another number.
    pub fn for_classes(self, count: usize) -> Result<Self> {
        match self.num_classes {
            _ if self.labels == CrfLabels::Present => Ok(self),
            Some(other) if other != count => {
                let reason = format!("must be the classes of the data set, {count}, is {other}");
                Err(Error::config("crf.num_classes", reason).into())
            }
            _ => Ok(Self { num_classes: Some(count), ..self }),
        }
    }

    /// Whether a saliency map is needed.
    pub fn needs_saliency(&self) -> bool {
        matches!(self.background, Background::Saliency(_))
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        self.model.validate().map_err(|err| crate::Error::from(err).within("model"))?;
        let positive = |field: &str, value: f64| expect(field, value.is_finite() && value > 0.0, "positive", value);
        let share = |field: &str, value: f64| expect(field, (0.0..=1.0).contains(&value), "from 0 to 1", value);
        match self.background {
            Background::Power { alpha } => positive("background.power.alpha", alpha),
            Background::Score { score } => {
                expect("background.score.score", score.is_finite() && score >= 0.0, "0 or more", score)
            }
            Background::Saliency(rules) => {
                positive("background.saliency.alpha", rules.alpha)?;
                share("background.saliency.conflict_above", rules.conflict_above)?;
                share("background.saliency.confident_above", rules.confident_above)?;
                share("background.saliency.min_foreground", rules.min_foreground)
            }
        }
    }
}

fn expect(field: &str, holds: bool, range: &str, value: f64) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::config(field, format!("must be {range}, is {value}")).into()) }
}
