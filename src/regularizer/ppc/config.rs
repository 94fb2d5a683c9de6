//! Configuration.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Stub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PpcConfig {
    /// Scope of the terms, the memory and the parameters.
    pub name: String,
}

impl Default for PpcConfig {
    fn default() -> Self {
        Self { name: "ppc".to_string() }
    }
}

impl PpcConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        Ok(())
    }
}
