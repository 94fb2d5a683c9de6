//! [`Site`]: where a regularizer is built, and [`Twin`], a second instance of the network there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use candle_core::Tensor;
use candle_nn::VarBuilder;

use crate::baseline::{Baseline, BaselineSpec};
use crate::error::{Error, Result};
use crate::init::ParameterStore;

/// What a regularizer is built for.
#[derive(Clone, Debug)]
pub struct Site<'a> {
    /// The baseline's specification.
    pub spec: &'a BaselineSpec,
    /// How to make further instances of the baseline, for methods that run two networks.
    pub twin: Option<Twin>,
}

impl<'a> Site<'a> {
    /// A site without a twin.
    pub fn new(spec: &'a BaselineSpec) -> Self {
        Self { spec, twin: None }
    }

    /// The same with a twin.
    #[must_use]
    pub fn with_twin(self, twin: Twin) -> Self {
        Self { twin: Some(twin), ..self }
    }
}

type Build = dyn Fn(VarBuilder<'_>) -> Result<Box<dyn Baseline>> + Send + Sync;

/// Makes further instances of a baseline, on parameters that are values: no variables, so no gradient.
#[derive(Clone)]
pub struct Twin {
    parameters: ParameterStore,
    scope: String,
    build: Arc<Build>,
}

impl std::fmt::Debug for Twin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Twin").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Twin {
    /// Of the baseline whose parameters lie under `scope.` in `parameters`; `build` makes one out of a builder that is
    /// scoped already.
    pub fn new(
        parameters: ParameterStore,
        scope: impl Into<String>,
        build: impl Fn(VarBuilder<'_>) -> Result<Box<dyn Baseline>> + Send + Sync + 'static,
    ) -> Self {
        Self { parameters, scope: scope.into(), build: Arc::new(build) }
    }

    /// Copies of the trained network's parameters as they are now, by their names below the scope.
    ///
    /// # Errors
    /// Those of candle.
    pub fn values(&self) -> Result<BTreeMap<String, Tensor>> {
        let prefix = format!("{}.", self.scope);
        let mut values = BTreeMap::new();
        for (name, var) in self.parameters.named_vars() {
            if let Some(own) = name.strip_prefix(&prefix) {
                values.insert(own.to_string(), var.as_tensor().copy()?.detach());
            }
        }
        Ok(values)
    }

    /// A network on these parameters. Values it has no use for are not looked at.
    ///
    /// # Errors
    /// When a parameter is missing or misshapen.
    pub fn network(&self, values: &BTreeMap<String, Tensor>) -> Result<Box<dyn Baseline>> {
        let first = values.values().next().ok_or_else(|| Error::state(&self.scope, "has no parameters"))?;
        let (dtype, device) = (first.dtype(), first.device().clone());
        let scoped: HashMap<String, Tensor> =
            values.iter().map(|(name, value)| (format!("{}.{name}", self.scope), value.clone())).collect();
        (self.build)(VarBuilder::from_tensors(scoped, dtype, &device).pp(&self.scope))
    }
}
