//! [`HscBanks`]: the momentum prototypes of the three levels, and [`Level`], what a level returns.

use candle_core::{DType, Device};

use super::HscConfig;
use crate::error::Result;
use crate::label::ClassLayout;
use crate::memory::{MemoryState, PrototypeBank};
use crate::objective::LossTerms;
use crate::sampler::Sampler;
use crate::view::Pair;

/// What one level asks for.
#[derive(Clone, Debug)]
pub struct Level {
    /// Its terms, under names without the level.
    pub terms: LossTerms,
    /// Its banks after the step.
    pub banks: Pair<PrototypeBank>,
}

/// Momentum prototypes of the three levels, a bank for each view.
#[derive(Clone, Debug)]
pub struct HscBanks {
    /// `(2, region_dim)`: background, foreground.
    pub roi: Pair<PrototypeBank>,
    /// `(num_classes, region_dim)`.
    pub class: Pair<PrototypeBank>,
    /// `(num_classes, pixel_dim)`.
    pub pixel: Pair<PrototypeBank>,
}

impl HscBanks {
    /// Standard normal rows, as the released code starts them; every bank from a stream of its own name.
    ///
    /// # Errors
    /// Those of a replayed sampler.
    pub fn normal(
        config: &HscConfig,
        layout: ClassLayout,
        dtype: DType,
        device: &Device,
        sampler: &dyn Sampler,
    ) -> Result<Self> {
        Self::build(config, layout, |key, [rows, dim]| {
            PrototypeBank::normal(rows, dim, dtype, device, sampler.fork(key).as_mut())
        })
    }

    /// The banks of a saved state, which must hold nothing else.
    ///
    /// # Errors
    /// Naming the first bank that is missing, misshapen or surplus.
    pub fn from_memory(
        config: &HscConfig,
        layout: ClassLayout,
        mut state: MemoryState,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let banks = Self::build(config, layout, |key, dims| {
            let rows = state.take(key, &dims)?.to_dtype(dtype)?.to_device(device)?;
            Ok(PrototypeBank::from_rows(&rows))
        })?;
        state.expect_empty()?;
        Ok(banks)
    }

    /// All banks under their names: `roi.source`, `roi.target`, `class.source` and so on.
    ///
    /// # Errors
    /// Those of candle.
    pub fn to_memory(&self) -> Result<MemoryState> {
        let mut state = MemoryState::default();
        for (level, pair) in [("roi", &self.roi), ("class", &self.class), ("pixel", &self.pixel)] {
            state.insert(format!("{level}.source"), pair.source.rows())?;
            state.insert(format!("{level}.target"), pair.target.rows())?;
        }
        Ok(state)
    }

    fn build(
        config: &HscConfig,
        layout: ClassLayout,
        mut bank: impl FnMut(&str, [usize; 2]) -> Result<PrototypeBank>,
    ) -> Result<Self> {
        let mut pair = |level: &str, rows: usize, dim: usize| {
            Pair::new("source", "target").try_map(|view| bank(&format!("{level}.{view}"), [rows, dim]))
        };
        Ok(Self {
            roi: pair("roi", 2, config.region_dim)?,
            class: pair("class", layout.num_classes(), config.region_dim)?,
            pixel: pair("pixel", layout.num_classes(), config.pixel_dim)?,
        })
    }
}
