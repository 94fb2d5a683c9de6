//! Configuration.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Stub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RcaConfig {
    /// Scope of the terms, the memory and the parameters.
    pub name: String,
}

impl Default for RcaConfig {
    fn default() -> Self {
        Self { name: "rca".to_string() }
    }
}

impl RcaConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        Ok(())
    }

    /// Whether evaluation goes through the aggregated features.
    pub fn alters_inference(&self) -> bool {
        true
    }
}
