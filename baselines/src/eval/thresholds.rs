//! Background scores a sweep goes through.

use candle_wsss::Error;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// The most scores: steps of a thousandth from 0 to 1. Counts are kept for each and every pair of classes.
const MAX_SCORES: usize = 1001;

/// Background scores `first / per_unit, (first + 1) / per_unit, .., last / per_unit`.
///
/// The default is the released code's curve: 0.00 to 0.59 in steps of 0.01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ThresholdGrid {
    /// Numerator of the lowest score.
    pub first: usize,
    /// Numerator of the highest score, at most 1000 above the first.
    pub last: usize,
    /// Steps to a score of 1.
    pub per_unit: usize,
}

impl Default for ThresholdGrid {
    fn default() -> Self {
        Self { first: 0, last: 59, per_unit: 100 }
    }
}

impl ThresholdGrid {
    /// The scores, ascending.
    ///
    /// # Errors
    /// When the grid is empty or of more than 1001 scores, or `per_unit` is 0.
    pub fn thresholds(&self) -> Result<Vec<f64>> {
        if self.per_unit == 0 {
            return Err(Error::config("thresholds.per_unit", "must be at least 1, is 0").into());
        }
        if self.first > self.last {
            let reason = format!("must be at least first = {}, is {}", self.first, self.last);
            return Err(Error::config("thresholds.last", reason).into());
        }
        if self.last - self.first >= MAX_SCORES {
            let most = self.first.saturating_add(MAX_SCORES - 1);
            let reason = format!("must be at most {most}, which is {MAX_SCORES} scores, is {}", self.last);
            return Err(Error::config("thresholds.last", reason).into());
        }
        // A quotient, not a sum of steps: 0.29 must be the float64 nearest to 0.29.
        Ok((self.first..=self.last).map(|step| step as f64 / self.per_unit as f64).collect())
    }
}
