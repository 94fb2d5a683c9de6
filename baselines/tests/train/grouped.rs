//! A baseline whose parameters are in every group, and whose loss is whatever a test wants.

use candle_core::{DType, Device, Tensor};
use candle_nn::Init;
use candle_wsss::{
    Baseline, BaselineSpec, ClassLayout, MemoryState, Mode, Objective, ParameterGroup, ParameterStore, Result, Sampler,
    Step, View, ViewOutput,
};

/// Names of the parameters, two values each: a bias and a weight of every group.
pub(crate) const NAMES: [&str; 6] =
    ["frozen.bias", "frozen.weight", "new.bias", "new.weight", "old.bias", "old.weight"];

pub(crate) struct Grouped {
    spec: BaselineSpec,
    memory: Tensor,
}

impl Grouped {
    /// All parameters start at `start`.
    pub(crate) fn new(store: &ParameterStore, start: f64, dtype: DType) -> Self {
        let vb = store.var_builder(0, dtype, &Device::Cpu);
        for name in NAMES {
            vb.get_with_hints(2, name, Init::Const(start)).unwrap();
        }
        let layout = ClassLayout::new(2).unwrap();
        let memory = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        Self { spec: BaselineSpec { layout, feature_dim: 1, stride: 1 }, memory }
    }

    pub(crate) fn remember(&mut self, value: f64) {
        self.memory = Tensor::full(value as f32, (2, 3), &Device::Cpu).unwrap();
    }
}

impl Baseline for Grouped {
    fn spec(&self) -> &BaselineSpec {
        &self.spec
    }

    fn forward(&self, _view: &View, _mode: Mode<'_>) -> Result<ViewOutput> {
        unreachable!("nothing is run here")
    }

    fn objective(&self, _step: &Step<'_>, _sampler: &dyn Sampler) -> Result<Objective> {
        unreachable!("nothing is run here")
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        match name.split('.').next() {
            Some("frozen") => ParameterGroup::Frozen,
            Some("old") => ParameterGroup::Pretrained,
            _ => ParameterGroup::FromScratch,
        }
    }

    fn commit(&mut self, mut next: MemoryState) -> Result<()> {
        let memory = next.take("bank", &[2, 3])?;
        next.expect_empty()?;
        self.memory = memory;
        Ok(())
    }

    fn memory(&self) -> Result<MemoryState> {
        let mut state = MemoryState::default();
        state.insert("bank", &self.memory)?;
        Ok(state)
    }
}
