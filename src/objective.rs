//! What a step asks for: named loss terms, and the memory to keep if the step is taken.

use candle_core::{DType, Tensor};

use crate::error::{Error, Result};
use crate::memory::MemoryState;

/// One loss term. The value is a scalar, before its weight.
#[derive(Clone, Debug)]
pub struct LossTerm {
    /// Path of the term, for example `hsc/pixel/memory`.
    pub name: String,
    /// Its factor in the total.
    pub weight: f64,
    /// Scalar tensor, with its graph.
    pub value: Tensor,
}

/// A term that had no meaning for this batch and was left out of the total.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OmittedTerm {
    /// Path of the term.
    pub name: String,
    /// Why it is undefined, for the log.
    pub reason: String,
}

/// A term's value on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct TermValue {
    /// Path of the term.
    pub name: String,
    /// Its factor in the total.
    pub weight: f64,
    /// Its value before the weight.
    pub value: f64,
}

/// Loss terms in the order they were pushed.
#[derive(Clone, Debug, Default)]
pub struct LossTerms {
    terms: Vec<LossTerm>,
    omitted: Vec<OmittedTerm>,
}

impl LossTerms {
    /// Adds a scalar term.
    ///
    /// # Errors
    /// When the value is no scalar, or the name is taken.
    pub fn push(&mut self, name: impl Into<String>, weight: f64, value: Tensor) -> Result<()> {
        let name = name.into();
        if value.rank() != 0 {
            return Err(Error::Shape {
                what: format!("loss term {name}"),
                expected: "()".to_string(),
                got: value.dims().to_vec(),
            });
        }
        if self.get(&name).is_some() {
            return Err(Error::DuplicateName(name));
        }
        self.terms.push(LossTerm { name, weight, value });
        Ok(())
    }

    /// Notes a term that is undefined for this batch. It adds nothing to the total and is counted in the report.
    pub fn omit(&mut self, name: impl Into<String>, reason: impl Into<String>) {
        self.omitted.push(OmittedTerm { name: name.into(), reason: reason.into() });
    }

    /// The term of that name.
    pub fn get(&self, name: &str) -> Option<&LossTerm> {
        self.terms.iter().find(|term| term.name == name)
    }

    /// All terms, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &LossTerm> {
        self.terms.iter()
    }

    /// Terms left out of this batch.
    pub fn omitted(&self) -> &[OmittedTerm] {
        &self.omitted
    }

    /// The weighted sum, or `None` when no term has a meaning for this batch.
    ///
    /// # Errors
    /// Those of candle.
    pub fn total(&self) -> Result<Option<Tensor>> {
        let mut total: Option<Tensor> = None;
        for term in &self.terms {
            let weighted = (&term.value * term.weight)?;
            total = Some(match total {
                None => weighted,
                Some(sum) => (sum + weighted)?,
            });
        }
        Ok(total)
    }

    /// All values `(terms,)` in float64, where they were computed and without their graph; `None` when there are no
    /// terms. Nothing waits for them: a loop that steps on can read those of many steps at once.
    ///
    /// # Errors
    /// Those of candle.
    pub fn values(&self) -> Result<Option<Tensor>> {
        if self.terms.is_empty() {
            return Ok(None);
        }
        let values: Vec<Tensor> = self.terms.iter().map(|term| term.value.detach()).collect();
        Ok(Some(Tensor::stack(&values, 0)?.to_dtype(DType::F64)?))
    }

    /// All values, with one copy from the device.
    ///
    /// # Errors
    /// Those of candle.
    pub fn scalars(&self) -> Result<Vec<TermValue>> {
        let Some(values) = self.values()? else { return Ok(Vec::new()) };
        let values = values.to_vec1::<f64>()?;
        Ok(self
            .terms
            .iter()
            .zip(values)
            .map(|(term, value)| TermValue { name: term.name.clone(), weight: term.weight, value })
            .collect())
    }
}

/// What one forward pass asks for. Computing it changes nothing; `commit` takes the memory over.
#[derive(Clone, Debug, Default)]
pub struct Objective {
    /// Losses to minimise.
    pub terms: LossTerms,
    /// Memory after this step, if it is taken.
    pub memory: MemoryState,
}

impl Objective {
    /// Takes in another objective under `scope`: terms as `scope/name`, memory as `scope.key`.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn absorb(&mut self, scope: &str, other: Self) -> Result<()> {
        let Self { terms: LossTerms { terms, omitted }, memory } = other;
        for LossTerm { name, weight, value } in terms {
            self.terms.push(format!("{scope}/{name}"), weight, value)?;
        }
        for OmittedTerm { name, reason } in omitted {
            self.terms.omit(format!("{scope}/{name}"), reason);
        }
        self.memory.absorb(scope, memory)
    }
}
