//! [`Ledger`]: loss terms of steps that were taken, read from the device many at a time.

use candle_core::Tensor;
use candle_wsss::{LossTerms, TermValue};

use crate::error::{Error, Result};

/// Loss terms of the steps since the last reading.
///
/// Reading a number makes the host wait for all that the device was given by then. A loop that reads in every step
/// therefore leaves the device idle while the host prepares the next one; the terms stay where they were computed until
/// so many steps have some, and are read in one copy.
pub(crate) struct Ledger {
    every: usize,
    unread: Vec<Unread>,
}

struct Unread {
    step: usize,
    /// Names and weights, in the order of the values.
    terms: Vec<(String, f64)>,
    /// `(terms,)`, float64.
    values: Option<Tensor>,
}

impl Ledger {
    /// One that is to be read after so many steps; 0 counts as 1.
    pub(crate) fn new(every: usize) -> Self {
        Self { every: every.max(1), unread: Vec::new() }
    }

    /// Enters the terms of a step.
    pub(crate) fn enter(&mut self, step: usize, terms: &LossTerms) -> Result<()> {
        let names = terms.iter().map(|term| (term.name.clone(), term.weight)).collect();
        self.unread.push(Unread { step, terms: names, values: terms.values()? });
        Ok(())
    }

    /// Whether as many steps are waiting as may.
    pub(crate) fn is_due(&self) -> bool {
        self.unread.len() >= self.every
    }

    /// Whether no step is waiting.
    pub(crate) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// The terms of all steps that were entered since the last reading, in their order.
    ///
    /// # Errors
    /// [`Error::Diverged`] naming the first step and term that is not finite.
    pub(crate) fn read(&mut self) -> Result<Vec<Vec<TermValue>>> {
        let unread = std::mem::take(&mut self.unread);
        let values: Vec<&Tensor> = unread.iter().filter_map(|step| step.values.as_ref()).collect();
        let values = if values.is_empty() { Vec::new() } else { Tensor::cat(&values, 0)?.to_vec1::<f64>()? };
        let mut values = values.into_iter();
        let mut read = Vec::with_capacity(unread.len());
        for Unread { step, terms, .. } in unread {
            let of_step = terms.into_iter().zip(values.by_ref());
            let terms: Vec<_> = of_step.map(|((name, weight), value)| TermValue { name, weight, value }).collect();
            check_finite(step, &terms)?;
            read.push(terms);
        }
        Ok(read)
    }
}

fn check_finite(step: usize, terms: &[TermValue]) -> Result<()> {
    match terms.iter().find(|term| !term.value.is_finite()) {
        None => Ok(()),
        Some(term) => Err(Error::Diverged { step, what: format!("loss term `{}`", term.name), value: term.value }),
    }
}
