//! Checks that the configurations of all regularizers share. Each names the field, its range and its value.

use crate::error::{Error, Result};

/// The name scopes terms by `/` and memory by `.`, so it has neither.
pub(super) fn name(value: &str) -> Result<()> {
    if !value.is_empty() && !value.contains(['.', '/']) {
        return Ok(());
    }
    Err(Error::config("name", format!("must be neither empty nor hold `.` or `/`, is `{value}`")))
}

pub(super) fn not_negative(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        return Ok(());
    }
    Err(Error::config(field, format!("must not be negative, is {value}")))
}

pub(super) fn positive(field: &str, value: f64) -> Result<()> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(Error::config(field, format!("must be positive, is {value}")))
}

pub(super) fn share(field: &str, value: f64) -> Result<()> {
    if (0.0..=1.0).contains(&value) {
        return Ok(());
    }
    Err(Error::config(field, format!("must be between 0 and 1, is {value}")))
}

pub(super) fn at_least_one(field: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::config(field, "must be at least 1, is 0"))
}
