//! HSC, hierarchical semantic contrast: regions, classes and pixels of two views.
//!
//! Both views of the trunk's features are projected ([`HscHeads`]) and brought to one grid. Seeds of both views
//! ([`HscSeeds`]) say what each pixel is. Three levels compare the views with each other and with momentum prototypes:
//! [`roi_level`], [`class_level`], [`pixel_level`]; each of them states its equations.
//!
//! # Terms
//! `roi/{intra, cross, foreground, background}`, `class/{own, mutual}`,
//! `pixel/{cross_prototype, cross_label, intra, memory}`. A term's weight is its level's weight times its own factor.
//!
//! # Memory
//! `roi`, `class` and `pixel`, each with `.source` and `.target`: see [`HscBanks`].
//!
//! # Parameters
//! `proj_fc.weight`, `extra_F.{0,1,3}.*`: see [`HscHeads`].
//!
//! # Reference
//! Wu et al., "Hierarchical Semantic Contrast for Weakly Supervised Semantic Segmentation", IJCAI 2023, as released;
//! [`HscConfig`] names where that differs from the evident intention.

mod banks;
mod class;
mod config;
mod heads;
mod pixel;
mod roi;
mod seeds;

pub use banks::{HscBanks, Level};
pub use class::class_level;
pub use config::{
    AbsentClasses, BackgroundPrototype, BackgroundRow, BankOrder, BankRows, ClassConfig, HeadGroup, HscConfig,
    NormalizeAxis, PixelConfig, RoiConfig,
};
pub use heads::{HscHeads, HscMaps};
pub use pixel::{pixel_level, step_prototypes};
pub use roi::{RegionVectors, region_vectors, roi_level};
pub use seeds::HscSeeds;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;

use crate::baseline::{BaselineSpec, ParameterGroup, Step};
use crate::error::{Error, Result};
use crate::label::ImageLabels;
use crate::memory::{MemoryState, PrototypeBank};
use crate::objective::{LossTerms, Objective};
use crate::regularizer::Regularizer;
use crate::sampler::Sampler;
use crate::view::Pair;

/// HSC as a plug-in of any baseline.
#[derive(Debug)]
pub struct HscRegularizer {
    config: HscConfig,
    spec: BaselineSpec,
    heads: HscHeads,
    banks: HscBanks,
    dtype: DType,
    device: Device,
}

impl HscRegularizer {
    /// For baselines of that specification. Heads come from `vb`, which is scoped to this regularizer already, the
    /// banks' start from `sampler`.
    ///
    /// # Errors
    /// When the configuration is invalid, or `vb` has a parameter of another shape.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_wsss::regularizer::hsc::{HscConfig, HscRegularizer};
    /// use candle_wsss::{BaselineSpec, ClassLayout, ParameterStore, SeededSampler};
    ///
    /// let spec = BaselineSpec { layout: ClassLayout::new(3)?, feature_dim: 8, stride: 8 };
    /// let store = ParameterStore::new();
    /// let vb = store.var_builder(0, DType::F32, &Device::Cpu);
    /// let config = HscConfig { pixel_dim: 4, region_dim: 6, ..HscConfig::default() };
    /// let new = |config: HscConfig| HscRegularizer::new(config, &spec, vb.pp("hsc"), &mut SeededSampler::new(0));
    /// assert!(new(config.clone()).is_ok());
    /// assert!(new(HscConfig { pixel_dim: 0, ..config }).is_err());
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(config: HscConfig, spec: &BaselineSpec, vb: VarBuilder<'_>, sampler: &mut dyn Sampler) -> Result<Self> {
        config.validate()?;
        let (dtype, device) = (vb.dtype(), vb.device().clone());
        Ok(Self {
            heads: HscHeads::new(spec.feature_dim, &config, &vb)?,
            banks: HscBanks::normal(&config, spec.layout, dtype, &device, sampler)?,
            spec: spec.clone(),
            config,
            dtype,
            device,
        })
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &HscConfig {
        &self.config
    }

    /// Its projections.
    pub fn heads(&self) -> &HscHeads {
        &self.heads
    }

    /// Its momentum prototypes.
    pub fn banks(&self) -> &HscBanks {
        &self.banks
    }
}

impl Regularizer for HscRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        step.outputs.as_ref().try_map(|output| output.check(&self.spec))?;
        let cams = step.outputs.as_ref().map(|output| output.seed_cam());
        let seeds = HscSeeds::new(cams, &step.views.target, step.labels, &self.config)?;
        let maps = step.outputs.as_ref().try_map(|output| self.heads.forward(&output.features))?;
        evaluate(&maps, &seeds, step.labels, &self.banks, &self.config)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.heads.parameter_group(name)
    }

    fn commit(&mut self, next: MemoryState) -> Result<()> {
        self.banks = HscBanks::from_memory(&self.config, self.spec.layout, next, self.dtype, &self.device)?;
        Ok(())
    }

    fn memory(&self) -> Result<MemoryState> {
        self.banks.to_memory()
    }
}

/// All three levels, from maps and seeds: what [`HscRegularizer`] asks for once it has projected the features.
///
/// Maps are brought to the size of the seeds. Levels that are not enabled keep their banks.
///
/// # Errors
/// When the batch is empty or a shape does not fit.
pub fn evaluate(
    maps: &Pair<HscMaps>,
    seeds: &HscSeeds,
    labels: &ImageLabels,
    banks: &HscBanks,
    config: &HscConfig,
) -> Result<Objective> {
    if labels.is_empty() {
        return Err(Error::value("batch", "must have at least one image"));
    }
    let (_, h, w) = seeds.labels.target.dims3()?;
    let maps = maps.as_ref().try_map(|maps| maps.resized((h, w)))?;
    let regions = maps.as_ref().map(|maps| maps.region.clone());
    let pixels = maps.map(|maps| maps.pixel);
    let layout = labels.layout();
    let roi =
        level(config.roi.enabled, &banks.roi, || roi_level(&regions, &seeds.labels, layout, &banks.roi, &config.roi))?;
    let class = level(config.class.enabled, &banks.class, || {
        class_level(&regions, &seeds.scores, labels, &banks.class, &config.class)
    })?;
    let pixel = level(config.pixel.enabled, &banks.pixel, || {
        pixel_level(&pixels, &seeds.scores, &seeds.labels, labels, &banks.pixel, &config.pixel)
    })?;
    let mut objective = Objective::default();
    for (name, terms) in [("roi", roi.terms), ("class", class.terms), ("pixel", pixel.terms)] {
        objective.absorb(name, Objective { terms, memory: MemoryState::default() })?;
    }
    objective.memory = HscBanks { roi: roi.banks, class: class.banks, pixel: pixel.banks }.to_memory()?;
    Ok(objective)
}

fn level(enabled: bool, banks: &Pair<PrototypeBank>, evaluate: impl FnOnce() -> Result<Level>) -> Result<Level> {
    if enabled { evaluate() } else { Ok(Level { terms: LossTerms::default(), banks: banks.clone() }) }
}
