//! [`SeedRefiner`]: seeds of any number of images through the CRF.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};
use candle_wsss::Error;
use candle_wsss::ops::DenseCrfPlan;
use image::{GrayImage, RgbImage};

use crate::crf::config::{Background, ColourOrder, CrfConfig, CrfLabels};
use crate::crf::saliency;
use crate::data::{BACKGROUND, Mask, VOID};
use crate::error::Result;
use crate::infer::SeedMaps;

/// Sizes whose plans are kept: photographs come in a few, and a plan takes some megabytes.
const KEPT_PLANS: usize = 8;

/// The mask of an image: its seeds, refined. For many images, [`SeedRefiner`] is a little faster.
///
/// # Errors
/// When the sizes differ, a constant is out of its range, or a saliency map is needed.
///
/// ```
/// use candle_wsss_baselines::crf::{CrfConfig, refine_seeds};
/// use candle_wsss_baselines::infer::SeedMaps;
///
/// let image = image::RgbImage::new(4, 3);
/// let seeds = SeedMaps::new(vec![2], 3, 4, vec![0.9; 12])?;
/// assert_eq!(refine_seeds(&image, &seeds, &CrfConfig::seam(4.0))?.data, [3; 12]);
/// assert!(refine_seeds(&image, &seeds, &CrfConfig::rca()).is_err());
/// # Ok::<(), candle_wsss_baselines::Error>(())
/// ```
pub fn refine_seeds(image: &RgbImage, seeds: &SeedMaps, config: &CrfConfig) -> Result<Mask> {
    SeedRefiner::new(config.clone())?.mask(image, seeds, None)
}

/// As [`refine_seeds`], with the saliency map of the image.
///
/// # Errors
/// As [`refine_seeds`], and when the map has another size than the image.
pub fn refine_seeds_with_saliency(
    image: &RgbImage,
    seeds: &SeedMaps,
    saliency: &GrayImage,
    config: &CrfConfig,
) -> Result<Mask> {
    SeedRefiner::new(config.clone())?.mask(image, seeds, Some(saliency))
}

/// Beliefs in the background and in the classes of an image.
#[derive(Clone, Debug, PartialEq)]
pub struct CrfPosterior {
    /// `(height, width)`, row-major.
    pub background: Vec<f32>,
    /// Of the classes the image has.
    pub classes: SeedMaps,
}

/// Refines the seeds of any number of images; several threads may share it.
pub struct SeedRefiner {
    config: CrfConfig,
    plans: Mutex<BTreeMap<(usize, usize), DenseCrfPlan>>,
}

impl std::fmt::Debug for SeedRefiner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeedRefiner").field("config", &self.config).finish_non_exhaustive()
    }
}

impl SeedRefiner {
    /// With these constants.
    ///
    /// # Errors
    /// When one is out of its range.
    pub fn new(config: CrfConfig) -> Result<Self> {
        config.validate().map_err(|err| err.within("crf"))?;
        Ok(Self { config, plans: Mutex::new(BTreeMap::new()) })
    }

    /// The mask of an image. The saliency map is looked at only if the configuration needs one.
    ///
    /// # Errors
    /// As [`refine_seeds_with_saliency`].
    pub fn mask(&self, image: &RgbImage, seeds: &SeedMaps, saliency: Option<&GrayImage>) -> Result<Mask> {
        expect_size("seeds", (seeds.height(), seeds.width()), image)?;
        let (height, width) = (seeds.height(), seeds.width());
        let data = match self.config.background {
            Background::Power { alpha } => self.soft_labels(image, seeds, alpha)?,
            Background::Score { score } => self.hard_labels(image, seeds, score as f32)?,
            Background::Saliency(rules) => {
                let saliency = saliency.ok_or_else(|| {
                    Error::value("saliency map", "`background = saliency` of the CRF needs one, there is none")
                })?;
                expect_size("saliency map", (saliency.height() as usize, saliency.width() as usize), image)?;
                let posterior = self.posterior_at(image, seeds, rules.alpha)?;
                saliency::labels(&posterior, saliency, &rules)
            }
        };
        Ok(Mask { width, height, data })
    }

    /// What the CRF believes before any label is taken: AffinityNet trains on this at two exponents.
    ///
    /// # Errors
    /// When the sizes differ, or the configuration has labels enter the CRF, not probabilities.
    pub fn posterior(&self, image: &RgbImage, seeds: &SeedMaps) -> Result<CrfPosterior> {
        expect_size("seeds", (seeds.height(), seeds.width()), image)?;
        match self.config.background {
            Background::Power { alpha } => self.posterior_at(image, seeds, alpha),
            Background::Saliency(rules) => self.posterior_at(image, seeds, rules.alpha),
            Background::Score { .. } => {
                Err(Error::config("crf.background", "must be `power` or `saliency` for a posterior, is `score`").into())
            }
        }
    }

    fn soft_labels(&self, image: &RgbImage, seeds: &SeedMaps, alpha: f64) -> Result<Vec<u8>> {
        let Some(probabilities) = self.probabilities(seeds, alpha)? else {
            return Ok(vec![BACKGROUND; seeds.height() * seeds.width()]);
        };
        let winners = self.plan(seeds)?.image(&self.colours(image)?)?.refine_soft(&probabilities)?;
        let labels = self.palette(seeds);
        let winners = winners.flatten_all()?.to_vec1::<u32>()?;
        Ok(winners.into_iter().map(|winner| labels.get(winner as usize).copied().unwrap_or(VOID)).collect())
    }

    fn hard_labels(&self, image: &RgbImage, seeds: &SeedMaps, score: f32) -> Result<Vec<u8>> {
        let palette = self.palette(seeds);
        if seeds.classes().is_empty() || seeds.maps().is_empty() {
            return Ok(vec![BACKGROUND; seeds.height() * seeds.width()]);
        }
        let mut channel = [0u32; 256];
        for (index, label) in (0u32..).zip(&palette) {
            channel[usize::from(*label)] = index;
        }
        let labels: Vec<u32> = seeds.labels(score).into_iter().map(|label| channel[usize::from(label)]).collect();
        let labels = Tensor::from_vec(labels, (seeds.height(), seeds.width()), &Device::Cpu)?;
        let count = self.num_labels(seeds)?;
        let refined = self.plan(seeds)?.image(&self.colours(image)?)?.refine_labels(&labels, count)?;
        let refined = refined.flatten_all()?.to_vec1::<u32>()?;
        Ok(refined.into_iter().map(|winner| palette.get(winner as usize).copied().unwrap_or(VOID)).collect())
    }

    fn posterior_at(&self, image: &RgbImage, seeds: &SeedMaps, alpha: f64) -> Result<CrfPosterior> {
        let Some(probabilities) = self.probabilities(seeds, alpha)? else {
            return Ok(CrfPosterior { background: vec![1.0; seeds.height() * seeds.width()], classes: seeds.clone() });
        };
        let posterior = self.plan(seeds)?.image(&self.colours(image)?)?.soft(&probabilities)?;
        let background = posterior.get(0)?.flatten_all()?.to_vec1::<f32>()?;
        let own = posterior.narrow(0, 1, seeds.classes().len())?.flatten_all()?.to_vec1::<f32>()?;
        let classes = if self.config.labels == CrfLabels::Present {
            own
        } else {
            let rows = posterior.flatten_from(1)?.to_vec2::<f32>()?;
            seeds.classes().iter().flat_map(|class| rows[class + 1].iter().copied()).collect()
        };
        let classes = SeedMaps::new(seeds.classes().to_vec(), seeds.height(), seeds.width(), classes)?;
        Ok(CrfPosterior { background, classes })
    }

    // Background first, as released code has it: it wins ties. `None` where there is nothing to choose between.
    fn probabilities(&self, seeds: &SeedMaps, alpha: f64) -> Result<Option<Tensor>> {
        let (height, width) = (seeds.height(), seeds.width());
        let (pixels, count) = (height * width, self.num_labels(seeds)?);
        if seeds.classes().is_empty() || pixels == 0 {
            return Ok(None);
        }
        let alpha = alpha as f32;
        let (best, _) = seeds.winners();
        let mut values: Vec<f32> = best.into_iter().map(|score| (1.0 - score).powf(alpha)).collect();
        match self.config.labels {
            CrfLabels::Present => values.extend_from_slice(seeds.maps()),
            CrfLabels::DataSet => {
                values.resize(count * pixels, 0.0);
                for (class, map) in seeds.classes().iter().zip(seeds.maps().chunks_exact(pixels)) {
                    values[(class + 1) * pixels..][..pixels].copy_from_slice(map);
                }
            }
        }
        Ok(Some(Tensor::from_vec(values, (count, height, width), &Device::Cpu)?))
    }

    // Labels that enter, the background included.
    fn num_labels(&self, seeds: &SeedMaps) -> Result<usize> {
        if self.config.labels == CrfLabels::Present {
            return Ok(seeds.classes().len() + 1);
        }
        let count = self.config.data_set_labels();
        match seeds.classes().last() {
            Some(class) if class + 1 >= count => {
                let reason = format!("classes must be below {}, one is {class}", count - 1);
                Err(Error::value("seed maps", reason).into())
            }
            _ => Ok(count),
        }
    }

    // Palette index of every label that enters.
    fn palette(&self, seeds: &SeedMaps) -> Vec<u8> {
        let index = |label: usize| u8::try_from(label).unwrap_or(VOID);
        match self.config.labels {
            CrfLabels::Present => {
                let classes = seeds.classes().iter().map(|class| index(class + 1));
                std::iter::once(BACKGROUND).chain(classes).collect()
            }
            CrfLabels::DataSet => (0..self.config.data_set_labels()).map(index).collect(),
        }
    }

    fn colours(&self, image: &RgbImage) -> Result<Tensor> {
        let mut bytes = image.as_raw().clone();
        if self.config.colours == ColourOrder::Bgr {
            bytes.as_chunks_mut::<3>().0.iter_mut().for_each(|pixel| pixel.reverse());
        }
        let size = (image.height() as usize, image.width() as usize, 3);
        Ok(Tensor::from_vec(bytes, size, &Device::Cpu)?.to_dtype(DType::U8)?)
    }

    fn plan(&self, seeds: &SeedMaps) -> Result<DenseCrfPlan> {
        let size = (seeds.height(), seeds.width());
        // A plan is whole or not there, so a thread that panicked leaves nothing half made.
        let locked = || self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = locked().get(&size) {
            return Ok(plan.clone());
        }
        let plan = DenseCrfPlan::new(size, &self.config.model)?;
        let mut plans = locked();
        if plans.len() >= KEPT_PLANS {
            plans.clear();
        }
        plans.insert(size, plan.clone());
        Ok(plan)
    }
}

fn expect_size(what: &str, (height, width): (usize, usize), image: &RgbImage) -> Result<()> {
    let expected = (image.height() as usize, image.width() as usize);
    if (height, width) == expected {
        return Ok(());
    }
    let reason =
        format!("expected {} x {} (height x width) as the image, got {height} x {width}", expected.0, expected.1);
    Err(Error::value(what, reason).into())
}
