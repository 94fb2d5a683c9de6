//! One step of a case, its time and its memory.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use candle_core::{DType, Device, Tensor, Var};
use serde_json::{Value, json};

use crate::ALLOCATOR;

/// What a step computed.
pub(crate) struct Outcome {
    /// Scalar.
    pub(crate) value: Tensor,
    /// Of the inputs that want one.
    pub(crate) gradients: Vec<Tensor>,
}

/// One step: forward and backward, from inputs that stay.
pub(crate) type Step = Box<dyn Fn() -> Result<Outcome>>;

impl Outcome {
    /// A value and its gradients with respect to `variables`.
    pub(crate) fn backward(value: Tensor, variables: &[&Var]) -> Result<Self> {
        let mut gradients = value.backward()?;
        let of = |variable: &&Var| gradients.remove(variable).context("an input got no gradient");
        Ok(Self { gradients: variables.iter().map(of).collect::<Result<_>>()?, value })
    }

    /// What both sides must agree on: the value, and the length of each gradient.
    pub(crate) fn summary(&self) -> Result<Value> {
        let norm = |t: &Tensor| -> Result<f64> { Ok(t.to_dtype(DType::F64)?.sqr()?.sum_all()?.sqrt()?.to_scalar()?) };
        let value: f64 = self.value.to_dtype(DType::F64)?.to_scalar()?;
        let norms = self.gradients.iter().map(norm).collect::<Result<Vec<f64>>>()?;
        Ok(json!({ "value": value, "gradients": norms }))
    }

    fn gradient_bytes(&self) -> usize {
        self.gradients.iter().map(|gradient| gradient.elem_count() * gradient.dtype().size_in_bytes()).sum()
    }
}

/// Steps for so many milliseconds, at least one: time of a step on the processor and on the wall, milliseconds.
pub(crate) fn time(step: &Step, device: &Device, budget: f64) -> Result<Value> {
    device.synchronize()?;
    let (clock, cpu) = (Instant::now(), process_cpu());
    let mut steps = 0;
    while steps == 0 || milliseconds(clock.elapsed()) < budget {
        std::hint::black_box(step()?);
        // Only here: a step itself waits for nothing it does not read.
        device.synchronize()?;
        steps += 1;
    }
    let each = |time: Duration| milliseconds(time) / f64::from(steps);
    let wall = clock.elapsed();
    let cpu = process_cpu().zip(cpu).map_or(wall, |(after, before)| after.saturating_sub(before));
    Ok(json!({ "ms_cpu": each(cpu), "ms_wall": each(wall), "steps": steps }))
}

/// What a step holds at most above its inputs, how much of that are its gradients, and all it asked for, in bytes.
pub(crate) fn memory(step: &Step) -> Result<Value> {
    // The largest total so far cannot be reset: what is missing to it is reserved, and never touched.
    let reserve: Vec<u8> = Vec::with_capacity(ALLOCATOR.max_allocated().saturating_sub(ALLOCATOR.allocated()));
    let (highest, total) = (ALLOCATOR.max_allocated(), ALLOCATOR.total_allocated());
    let outcome = step()?;
    let peak = ALLOCATOR.max_allocated() - highest;
    let asked = ALLOCATOR.total_allocated() - total;
    drop(reserve);
    Ok(json!({ "peak_bytes": peak, "gradient_bytes": outcome.gradient_bytes(), "allocated_bytes": asked }))
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Processor time of all threads; `None` where the system does not tell.
#[cfg(unix)]
fn process_cpu() -> Option<Duration> {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Some(Duration::new(time.tv_sec.try_into().ok()?, time.tv_nsec.try_into().ok()?))
}

#[cfg(not(unix))]
fn process_cpu() -> Option<Duration> {
    None
}
