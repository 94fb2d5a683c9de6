//! [`TrainConfig`]: how long, and how often something is done in between.

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// How long to train.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the data; SEAM's 8.
    pub epochs: usize,
    /// Optimizer steps, in place of `epochs`.
    pub steps: Option<usize>,
    /// Steps between checkpoints; `None` writes one at the end.
    pub checkpoint_every: Option<usize>,
    /// Steps between readings of the loss terms, where divergence shows; `None` reads in every step on the CPU, where it
    /// is free, and in every 20th elsewhere. The curves have every step either way, and the numbers do not depend on it.
    pub log_every: Option<usize>,
}

/// Steps between readings on a device that computes on its own: few enough that a training that diverged stops soon, and
/// so many that waiting for the device does not show.
const DEVICE_LOG_EVERY: usize = 20;

impl Default for TrainConfig {
    fn default() -> Self {
        Self { epochs: 8, steps: None, checkpoint_every: None, log_every: None }
    }
}

impl TrainConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field that is 0.
    pub fn validate(&self) -> Result<()> {
        let fields = [
            ("epochs", Some(self.epochs)),
            ("steps", self.steps),
            ("checkpoint_every", self.checkpoint_every),
            ("log_every", self.log_every),
        ];
        match fields.into_iter().find(|(_, value)| *value == Some(0)) {
            None => Ok(()),
            Some((field, _)) => Err(candle_wsss::Error::config(field, "must be at least 1, is 0").into()),
        }
    }

    /// Optimizer steps of the run.
    pub fn total_steps(&self, steps_per_epoch: usize) -> usize {
        self.steps.unwrap_or(self.epochs.saturating_mul(steps_per_epoch))
    }

    /// Steps from one reading of the loss terms to the next on a device.
    pub fn steps_between_reads(&self, device: &Device) -> usize {
        self.log_every.unwrap_or(if device.is_cpu() { 1 } else { DEVICE_LOG_EVERY })
    }

    /// Whether there is a checkpoint after so many steps, beside the one at the end.
    pub fn is_checkpoint(&self, done: usize) -> bool {
        self.checkpoint_every.is_some_and(|every| done.is_multiple_of(every))
    }
}
