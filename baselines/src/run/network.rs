//! [`Network`]: what inference runs, and where.

use std::sync::{Mutex, PoisonError};

use candle_core::Device;
use candle_wsss::{
    Baseline, BaselineSpec, MemoryState, Mode, Objective, ParameterGroup, Result, Sampler, Step, View, ViewOutput,
};

/// A trained network, ready to be run on images from several threads.
pub struct Network {
    baseline: Box<dyn Baseline>,
    device: Device,
}

impl Network {
    /// A network whose parameters are on `device`.
    pub(crate) fn new(baseline: Box<dyn Baseline>, device: Device) -> Self {
        let baseline = if device.is_cpu() { baseline } else { Box::new(InTurn { baseline, turn: Mutex::new(()) }) };
        Self { baseline, device }
    }

    /// The network.
    pub fn baseline(&self) -> &dyn Baseline {
        self.baseline.as_ref()
    }

    /// Where it computes, and its images must be.
    pub fn device(&self) -> &Device {
        &self.device
    }
}

/// Runs one image at a time, whoever asks. A device computes one after the other anyway, the libraries' handles are for
/// one caller at a time, and its memory holds the activations of one image. Files are read, resized and written beside.
struct InTurn {
    baseline: Box<dyn Baseline>,
    turn: Mutex<()>,
}

impl Baseline for InTurn {
    fn spec(&self) -> &BaselineSpec {
        self.baseline.spec()
    }

    fn forward(&self, view: &View, mode: Mode<'_>) -> Result<ViewOutput> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        self.baseline.forward(view, mode)
    }

    fn objective(&self, step: &Step<'_>, sampler: &dyn Sampler) -> Result<Objective> {
        self.baseline.objective(step, sampler)
    }

    fn parameter_group(&self, name: &str) -> ParameterGroup {
        self.baseline.parameter_group(name)
    }

    fn commit(&mut self, next: MemoryState) -> Result<()> {
        self.baseline.commit(next)
    }

    fn memory(&self) -> Result<MemoryState> {
        self.baseline.memory()
    }

    fn restore(&mut self, saved: MemoryState) -> Result<()> {
        self.baseline.restore(saved)
    }
}
