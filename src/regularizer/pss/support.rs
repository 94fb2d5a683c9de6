//! [`Support`]: the second network, as values.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::scaled::{resized, scaled_view};
use super::{CamSource, PssConfig};
use crate::baseline::{Baseline, Mode, ViewOutput};
use crate::error::{Error, Result};
use crate::memory::MemoryState;
use crate::regularizer::Twin;
use crate::view::View;

/// Scope of the values in memory.
const SCOPE: &str = "support";

/// The support network's parameters and buffers, by their names in the main network. Values, not variables: no gradient
/// can reach them.
pub(super) type Values = BTreeMap<String, Tensor>;

/// The support network, a moving average of the main network. Until the first commit it *is* the main network, so that
/// start weights loaded after construction are those of both.
#[derive(Debug)]
pub(super) struct Support {
    main: Twin,
    values: Option<Values>,
}

impl Support {
    pub(super) fn new(main: Twin) -> Self {
        Self { main, values: None }
    }

    /// What it is now.
    pub(super) fn values(&self) -> Result<Values> {
        self.values.clone().map_or_else(|| self.main.values(), Ok)
    }

    /// Copies of the main network's, as they are now.
    pub(super) fn main_values(&self) -> Result<Values> {
        self.main.values()
    }

    /// The network on these values.
    pub(super) fn network(&self, values: &Values) -> Result<Box<dyn Baseline>> {
        self.main.network(values)
    }

    /// Takes over the values: `support.<parameter name>`, one for each of the main network's and of its shape.
    ///
    /// Values that are the main network's to the bit make it the main network again, as before the first commit: so a
    /// first commit that another loss refuses leaves no trace. Where the average never moves (`momentum` 1) they may as
    /// well be start weights, which are to stay.
    pub(super) fn restore(&mut self, saved: MemoryState, momentum: f64) -> Result<()> {
        let main = self.main.values()?;
        let values = fitting(saved, &main)?;
        let is_main = momentum < 1.0 && same(&values, &main)?;
        self.values = (!is_main).then_some(values);
        Ok(())
    }

    /// Takes over the values and moves them to the main network: `momentum * support + (1 - momentum) * main`.
    pub(super) fn commit(&mut self, next: MemoryState, momentum: f64) -> Result<()> {
        let main = self.main.values()?;
        let mut values = fitting(next, &main)?;
        for (name, value) in &mut values {
            // In this form a parameter both have alike stays as it is, to the bit.
            *value = (&*value + ((&main[name] - &*value)? * (1.0 - momentum))?)?.detach();
        }
        self.values = Some(values);
        Ok(())
    }
}

/// The memory of these values.
pub(super) fn to_memory(values: &Values) -> Result<MemoryState> {
    let mut own = MemoryState::default();
    for (name, value) in values {
        own.insert(name.as_str(), value)?;
    }
    let mut memory = MemoryState::default();
    memory.absorb(SCOPE, own)?;
    Ok(memory)
}

fn fitting(mut state: MemoryState, main: &Values) -> Result<Values> {
    let mut values = Values::new();
    for (name, like) in main {
        let value = state.take(&format!("{SCOPE}.{name}"), like.dims())?;
        values.insert(name.clone(), value.to_dtype(like.dtype())?.to_device(like.device())?);
    }
    state.expect_empty()?;
    Ok(values)
}

fn same(values: &Values, main: &Values) -> Result<bool> {
    for (name, value) in values {
        if value.ne(&main[name])?.max_all()?.to_scalar::<u8>()? > 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What the support network makes of the source view, at the grid of the main network's maps. No gradient.
pub(super) struct SupportMaps {
    raw: Vec<Tensor>,
    refined: Vec<Tensor>,
    /// `(N, feature_dim, h, w)` at scale 1, when asked for.
    features: Option<Tensor>,
}

impl SupportMaps {
    /// Runs the network once per scale, and at scale 1 besides if its features are wanted and 1 is no scale.
    pub(super) fn new(
        network: &dyn Baseline,
        view: &View,
        config: &PssConfig,
        grid: (usize, usize),
        wants_features: bool,
    ) -> Result<Self> {
        let mut maps = Self { raw: Vec::new(), refined: Vec::new(), features: None };
        for &scale in &config.support_scales {
            let output = network.forward(&scaled_view(view, scale)?, Mode::Eval)?;
            maps.raw.push(constant(CamSource::Raw.of(&output), grid)?);
            maps.refined.push(constant(CamSource::Refined.of(&output), grid)?);
            if wants_features && scale == 1.0 {
                maps.take_features(&output, grid)?;
            }
        }
        if wants_features && maps.features.is_none() {
            maps.take_features(&network.forward(view, Mode::Eval)?, grid)?;
        }
        Ok(maps)
    }

    fn take_features(&mut self, output: &ViewOutput, grid: (usize, usize)) -> Result<()> {
        self.features = Some(constant(&output.features, grid)?);
        Ok(())
    }

    /// Maps `(N, num_classes, h, w)`, one per scale.
    pub(super) fn cams(&self, source: CamSource) -> &[Tensor] {
        match source {
            CamSource::Raw => &self.raw,
            CamSource::Refined => &self.refined,
        }
    }

    pub(super) fn features(&self) -> Result<&Tensor> {
        self.features.as_ref().ok_or_else(|| Error::value("features of the support network", "were not asked for"))
    }
}

fn constant(map: &Tensor, grid: (usize, usize)) -> Result<Tensor> {
    Ok(resized(&map.detach(), grid)?.detach())
}
