//! PSS stub.
//!
//! # Terms
//! # Memory
//! # Parameters
//! # Reference

mod config;

pub use config::PssConfig;

use candle_nn::VarBuilder;

use crate::baseline::{BaselineSpec, Step};
use crate::error::Result;
use crate::objective::Objective;
use crate::regularizer::{Regularizer, Site};
use crate::sampler::Sampler;

/// Stub.
#[derive(Debug)]
pub struct PssRegularizer {
    config: PssConfig,
}

impl PssRegularizer {
    /// Stub.
    ///
    /// # Errors
    /// Stub.
    pub fn new(config: PssConfig, _site: &Site<'_>) -> Result<Self> {
        config.validate()?;
        Ok(Self { config })
    }
}

impl Regularizer for PssRegularizer {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        Ok(Objective::default())
    }
}
