//! RCA stub.
//!
//! # Terms
//! # Memory
//! # Parameters
//! # Reference

mod config;

pub use config::RcaConfig;

use candle_nn::VarBuilder;

use crate::baseline::{BaselineSpec, Step};
use crate::error::Result;
use crate::objective::Objective;
use crate::regularizer::{Regularizer, Site};
use crate::sampler::Sampler;

/// Stub.
#[derive(Debug)]
pub struct RcaRegularizer {
    config: RcaConfig,
}

impl RcaRegularizer {
    /// Stub.
    ///
    /// # Errors
    /// Stub.
    pub fn new(
        config: RcaConfig,
        _spec: &BaselineSpec,
        _vb: VarBuilder<'_>,
        _sampler: &mut dyn Sampler,
    ) -> Result<Self> {
        config.validate()?;
        Ok(Self { config })
    }
}

impl Regularizer for RcaRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        Ok(Objective::default())
    }
}
