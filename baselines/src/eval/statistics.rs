//! Methods compared over repeats.

use candle_wsss::Error;
use serde::{Deserialize, Serialize};

use crate::error::Result;

/// Mean and spread of one measure over repeats.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Mean.
    pub mean: f64,
    /// Sample standard deviation (divided by `count - 1`); `None` for a single value.
    pub standard_deviation: Option<f64>,
    /// Number of values.
    pub count: usize,
}

impl Spread {
    /// Of these values; `None` when there are none.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let count = values.len();
        let mean = values.iter().sum::<f64>() / count as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = (count > 1).then(|| (squares / (count - 1) as f64).sqrt());
        Some(Self { mean, standard_deviation, count })
    }
}

/// Mean difference of two methods over repeats that share their seed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairedDifference {
    /// Mean of candidate minus reference.
    pub mean: f64,
    /// Standard deviation of the differences over the root of their number; `None` for a single pair.
    pub standard_error: Option<f64>,
    /// Number of pairs.
    pub count: usize,
}

impl PairedDifference {
    /// Of candidate minus reference, pair by pair.
    ///
    /// # Errors
    /// When the numbers of repeats differ or are 0.
    pub fn of(candidate: &[f64], reference: &[f64]) -> Result<Self> {
        if candidate.len() != reference.len() {
            let reason = format!("expected {} repeats as in the reference, got {}", reference.len(), candidate.len());
            return Err(Error::value("paired difference", reason).into());
        }
        let differences: Vec<f64> = candidate.iter().zip(reference).map(|(a, b)| a - b).collect();
        let spread = Spread::of(&differences).ok_or_else(|| Error::value("paired difference", "no repeats"))?;
        let standard_error = spread.standard_deviation.map(|deviation| deviation / (spread.count as f64).sqrt());
        Ok(Self { mean: spread.mean, standard_error, count: spread.count })
    }
}
