//! Configuration.

use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Stub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PssConfig {
    /// Scope of the terms, the memory and the parameters.
    pub name: String,
}

impl Default for PssConfig {
    fn default() -> Self {
        Self { name: "pss".to_string() }
    }
}

impl PssConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        Ok(())
    }
}
