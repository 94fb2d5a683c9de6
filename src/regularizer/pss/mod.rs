//! PSS, pixel-level self-supervision: a second network that follows the first one teaches it.
//!
//! `MainNet` is the network being trained. `SupportNet` is a moving average of it, run in evaluation mode on several
//! sizes of the source view's image; it is made of values, so no gradient reaches it. Two terms bring the main network
//! towards it, all maps at the grid of the main network's own map of the source view:
//!
//! * RCM ([`region_masks`], [`region_prototypes`], [`region_contrast`]): the support network's maps say which class each
//!   pixel has, its features what each class looks like; the main network's pixel features are contrasted with that.
//! * MAM ([`scale_attention`], [`expansion_target`], [`expansion_loss`]): the main network's maps at several scales are
//!   drawn to a mixture of the support network's, in which the scale that differs most counts most.
//!
//! # Terms
//! `rcm`, `mam`. When neither takes part, the support network is not run; what becomes of it says [`SupportStart`].
//!
//! # Memory
//! `support.<parameter name>`: the support network's parameters and buffers, by the baseline's names. Until the first
//! commit they are copies of the main network's, whatever those are by then.
//!
//! # Parameters
//! None.
//!
//! # Reference
//! Yoon et al., "Exploring Pixel-level Self-supervision for Weakly Supervised Semantic Segmentation", arXiv 2112.05351.
//! No code was released: the two networks, RCM and MAM are the paper's, by its abstract; every formula and number here
//! is this crate's choice, and nothing is claimed to be reproduced.

mod config;
mod expansion;
mod region;
mod scaled;
mod support;

pub use config::{CamSource, MamConfig, PssConfig, RcmConfig, SupportStart};
pub use expansion::{expansion_loss, expansion_target, foreground_maps, scale_attention};
pub use region::{RegionPrototypes, region_contrast, region_masks, region_prototypes};

use candle_core::Tensor;

use self::scaled::{resized, scaled_view};
use self::support::{Support, SupportMaps, to_memory};
use crate::baseline::{BaselineSpec, Mode, Step};
use crate::error::{Error, Result};
use crate::memory::MemoryState;
use crate::objective::{LossTerms, Objective};
use crate::regularizer::{Regularizer, Site};
use crate::sampler::Sampler;

/// PSS as a plug-in of any baseline that can be built twice.
#[derive(Debug)]
pub struct PssRegularizer {
    config: PssConfig,
    spec: BaselineSpec,
    support: Support,
}

impl PssRegularizer {
    /// For the baseline of that site, whose [`Twin`](crate::regularizer::Twin) builds the support network.
    ///
    /// # Errors
    /// When the configuration is invalid, or the twin is missing or makes another network.
    ///
    /// ```
    /// use candle_core::DType;
    /// use candle_wsss::regularizer::Site;
    /// use candle_wsss::regularizer::pss::{PssConfig, PssRegularizer};
    /// use candle_wsss::testing::ToyBaseline;
    /// use candle_wsss::{Baseline, ParameterStore};
    ///
    /// let store = ParameterStore::new();
    /// let toy = ToyBaseline::new(3, 8, &store, 0, DType::F32)?;
    /// let site = Site::new(toy.spec()).with_twin(ToyBaseline::twin(3, 8, &store));
    /// assert!(PssRegularizer::new(PssConfig::default(), &site).is_ok());
    /// let alone = PssRegularizer::new(PssConfig::default(), &Site::new(toy.spec()));
    /// assert!(alone.unwrap_err().to_string().contains("runs two networks"));
    /// # Ok::<(), candle_wsss::Error>(())
    /// ```
    pub fn new(config: PssConfig, site: &Site<'_>) -> Result<Self> {
        config.validate()?;
        let twin = site.twin.clone().ok_or_else(|| {
            let reason =
                "runs two networks, so its site needs a second one: `Site::new(spec).with_twin(Twin::new(..))`";
            Error::value(format!("regularizer `{}`", config.name), reason)
        })?;
        let twin_spec = twin.network(&twin.values()?)?.spec().clone();
        if twin_spec != *site.spec {
            let reason = format!("must make a network of {:?}, makes one of {twin_spec:?}", site.spec);
            return Err(Error::value(format!("twin for `{}`", config.name), reason));
        }
        Ok(Self { config, spec: twin_spec, support: Support::new(twin) })
    }

    /// The configuration it was built with.
    pub fn config(&self) -> &PssConfig {
        &self.config
    }

    // Which of RCM and MAM take part; one whose time has not come is noted as left out.
    fn running(&self, epoch: usize, terms: &mut LossTerms) -> (bool, bool) {
        let PssConfig { rcm, mam, .. } = &self.config;
        let mut running = |name: &str, takes_part: bool, start: usize| {
            if takes_part && epoch < start {
                terms.omit(name, format!("starts in epoch {start}"));
            }
            takes_part && epoch >= start
        };
        (running("rcm", rcm.takes_part(), rcm.start_epoch), running("mam", mam.takes_part(), mam.start_epoch))
    }

    fn push_rcm(&self, step: &Step<'_>, support: &SupportMaps, terms: &mut LossTerms) -> Result<()> {
        let config = &self.config.rcm;
        let regions = region_masks(support.cams(config.cam), step.labels, config)?;
        let (_, h, w) = regions.dims3()?;
        let prototypes = region_prototypes(support.features()?, &regions, self.spec.layout.num_classes())?;
        let features = resized(&step.outputs.source.features, (h, w))?;
        match region_contrast(&features, &regions, &prototypes, config.temperature)? {
            Some(value) => terms.push("rcm", config.weight, value),
            None => {
                terms.omit("rcm", "no pixel passes a threshold");
                Ok(())
            }
        }
    }

    fn push_mam(
        &self,
        step: &Step<'_>,
        support: &SupportMaps,
        sampler: &dyn Sampler,
        terms: &mut LossTerms,
    ) -> Result<()> {
        let config = &self.config.mam;
        if step.labels.in_batch().is_empty() {
            terms.omit("mam", "no foreground label in the batch");
            return Ok(());
        }
        let maps = |cams: &[Tensor]| -> Result<Vec<Tensor>> {
            cams.iter().map(|cam| foreground_maps(cam, self.spec.layout)).collect()
        };
        let support = maps(support.cams(config.cam))?;
        let own = foreground_maps(&own_cam(step, config.cam)?.detach(), self.spec.layout)?;
        let attention = scale_attention(&own, &support, config.attention_temperature)?;
        let target = expansion_target(&support, &attention)?;
        let main = maps(&self.main_cams(step, sampler)?)?;
        match expansion_loss(&main, &target, step.labels)? {
            Some(value) => terms.push("mam", config.weight, value),
            None => {
                terms.omit("mam", "the support network's maps of all labels are flat");
                Ok(())
            }
        }
    }

    // The main network's maps at its scales, with gradient, at the grid.
    fn main_cams(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Vec<Tensor>> {
        let config = &self.config.mam;
        let (_, _, h, w) = step.outputs.source.cam.dims4()?;
        let at = |scale: &f64| -> Result<Tensor> {
            if *scale == 1.0 {
                return own_cam(step, config.cam);
            }
            let mut draws = sampler.fork(&format!("main/{scale}"));
            let view = scaled_view(&step.views.source, *scale)?;
            let output = step.model.forward(&view, Mode::Train(draws.as_mut()))?;
            resized(config.cam.of(&output), (h, w))
        };
        config.main_scales.iter().map(at).collect()
    }
}

// The main network's map of the source view at the grid, with gradient.
fn own_cam(step: &Step<'_>, source: CamSource) -> Result<Tensor> {
    let output = &step.outputs.source;
    let (_, _, h, w) = output.cam.dims4()?;
    resized(source.of(output), (h, w))
}

impl Regularizer for PssRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        let source = &step.outputs.source;
        source.check(&self.spec)?;
        if step.labels.is_empty() {
            return Err(Error::value("batch", "must have at least one image"));
        }
        let mut terms = LossTerms::default();
        let (rcm, mam) = self.running(step.progress.epoch, &mut terms);
        let has_parted = rcm || mam || self.config.support_start == SupportStart::FirstStep;
        let values = if has_parted { self.support.values()? } else { self.support.main_values()? };
        if rcm || mam {
            let (_, _, h, w) = source.cam.dims4()?;
            let network = self.support.network(&values)?;
            let support = SupportMaps::new(network.as_ref(), &step.views.source, &self.config, (h, w), rcm)?;
            if rcm {
                self.push_rcm(step, &support, &mut terms)?;
            }
            if mam {
                self.push_mam(step, &support, sampler, &mut terms)?;
            }
        }
        Ok(Objective { terms, memory: to_memory(&values)? })
    }

    fn commit(&mut self, next: MemoryState) -> Result<()> {
        self.support.commit(next, self.config.support_momentum)
    }

    fn memory(&self) -> Result<MemoryState> {
        to_memory(&self.support.values()?)
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        self.support.restore(saved, self.config.support_momentum)
    }
}
