//! Configuration. Stub.

use candle_wsss::Result;
use serde::{Deserialize, Serialize};

use crate::backbone::BackboneConfig;

/// Stub.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EpsConfig {
    /// The trunk.
    pub backbone: BackboneConfig,
}

impl EpsConfig {
    /// Checks every range.
    ///
    /// # Errors
    /// Naming the field.
    pub fn validate(&self) -> Result<()> {
        self.backbone.validate("backbone")
    }
}
