//! PPC stub.
//!
//! # Terms
//! # Memory
//! # Parameters
//! # Reference

mod config;

pub use config::PpcConfig;

use candle_nn::VarBuilder;

use crate::baseline::{BaselineSpec, Step};
use crate::error::Result;
use crate::objective::Objective;
use crate::regularizer::{Regularizer, Site};
use crate::sampler::Sampler;

/// Stub.
#[derive(Debug)]
pub struct PpcRegularizer {
    config: PpcConfig,
}

impl PpcRegularizer {
    /// Stub.
    ///
    /// # Errors
    /// Stub.
    pub fn new(config: PpcConfig, _spec: &BaselineSpec, _vb: VarBuilder<'_>) -> Result<Self> {
        config.validate()?;
        Ok(Self { config })
    }
}

impl Regularizer for PpcRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        Ok(Objective::default())
    }
}
