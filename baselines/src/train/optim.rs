//! [`PolySgd`]: stochastic gradient descent with four parameter groups and the poly schedule.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_wsss::ops::{SgdStep, gradient_scale, sgd_step};
use candle_wsss::{Baseline, ParameterGroup, ParameterStore};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Settings of [`PolySgd`]. The default is what the released SEAM, EPS, PPC and HSC code does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PolySgdConfig {
    /// Base learning rate; 0.01.
    pub learning_rate: f64,
    /// Weight decay of weights; biases have none. 5e-4.
    pub weight_decay: f64,
    /// Momentum. The released code hands its weight decay to the momentum argument, so its momentum is 5e-4, in effect
    /// none; [`PolySgdConfig::intended`] has the 0.9 its authors meant.
    pub momentum: f64,
    /// Power of the poly schedule, `(1 - step / max_step)^power`; 0.9.
    pub power: f64,
    /// Steps the schedule runs over; `None` takes the length of the run. Later steps keep the last rate.
    pub max_step: Option<usize>,
    /// Factors on the base rate: pretrained weights, pretrained biases, new weights, new biases.
    pub group_factors: [f64; 4],
    /// Largest norm of all gradients together; `None` (as released) does not clip.
    pub clip_norm: Option<f64>,
}

impl Default for PolySgdConfig {
    fn default() -> Self {
        let weight_decay = 5e-4;
        Self {
            learning_rate: 0.01,
            weight_decay,
            momentum: weight_decay,
            power: 0.9,
            max_step: None,
            group_factors: [1.0, 2.0, 10.0, 20.0],
            clip_norm: None,
        }
    }
}

impl PolySgdConfig {
    /// As the authors evidently meant it: momentum 0.9.
    pub fn intended() -> Self {
        Self { momentum: 0.9, ..Self::default() }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// Naming the field, its range and its value.
    pub fn validate(&self) -> Result<()> {
        let positive = |field: &str, value: f64| {
            if value > 0.0 && value.is_finite() { Ok(()) } else { Err(out_of_range(field, "positive", value)) }
        };
        positive("learning_rate", self.learning_rate)?;
        positive("power", self.power)?;
        if let Some(norm) = self.clip_norm {
            positive("clip_norm", norm)?;
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(out_of_range("weight_decay", "0 or more", self.weight_decay));
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(out_of_range("momentum", "in [0, 1)", self.momentum));
        }
        for factor in self.group_factors {
            if !(factor >= 0.0 && factor.is_finite()) {
                return Err(out_of_range("group_factors", "0 or more", factor));
            }
        }
        if self.max_step == Some(0) {
            return Err(out_of_range("max_step", "at least 1", 0.0));
        }
        Ok(())
    }
}

fn out_of_range(field: &str, range: &str, value: f64) -> Error {
    candle_wsss::Error::config(format!("optimizer.{field}"), format!("must be {range}, is {value}")).into()
}

struct Slot {
    name: String,
    var: Var,
    rate_factor: f64,
    weight_decay: f64,
}

/// Stochastic gradient descent over the trainable parameters of a model, in the order of their names.
pub struct PolySgd {
    config: PolySgdConfig,
    max_step: usize,
    step: usize,
    slots: Vec<Slot>,
    velocity: BTreeMap<String, Tensor>,
}

impl PolySgd {
    /// An optimizer of every parameter of `store` that `model` does not call frozen, for a run of `run_steps` steps.
    ///
    /// # Errors
    /// When a setting is out of range or nothing is trainable.
    pub fn new(config: PolySgdConfig, model: &dyn Baseline, store: &ParameterStore, run_steps: usize) -> Result<Self> {
        config.validate()?;
        let mut slots = Vec::new();
        for (name, var) in store.named_vars() {
            let is_bias = name.ends_with(".bias");
            let factor = match model.parameter_group(&name) {
                ParameterGroup::Frozen => continue,
                ParameterGroup::Pretrained => config.group_factors[usize::from(is_bias)],
                ParameterGroup::FromScratch => config.group_factors[2 + usize::from(is_bias)],
            };
            let weight_decay = if is_bias { 0.0 } else { config.weight_decay };
            slots.push(Slot { name, var, rate_factor: factor, weight_decay });
        }
        if slots.is_empty() {
            return Err(Error::Config("nothing to train: every parameter is frozen".to_string()));
        }
        let max_step = config.max_step.unwrap_or(run_steps).max(1);
        let mut velocity = BTreeMap::new();
        if config.momentum > 0.0 {
            for slot in &slots {
                velocity.insert(slot.name.clone(), slot.var.as_tensor().zeros_like()?);
            }
        }
        Ok(Self { config, max_step, step: 0, slots, velocity })
    }

    /// Names of the parameters this moves, sorted.
    pub fn trainable(&self) -> impl Iterator<Item = &str> {
        self.slots.iter().map(|slot| slot.name.as_str())
    }

    /// The base rate of the coming step.
    pub fn learning_rate(&self) -> f64 {
        // Past the end the last rate stays, as in the released code.
        let step = self.step.min(self.max_step - 1);
        self.config.learning_rate * (1.0 - step as f64 / self.max_step as f64).powf(self.config.power)
    }

    /// Takes one step, in place. Parameters without a gradient stay where they are.
    ///
    /// # Errors
    /// Those of candle.
    pub fn step(&mut self, grads: &GradStore) -> Result<()> {
        let rate = self.learning_rate();
        let scale = self.clip_scale(grads)?;
        for slot in &self.slots {
            let Some(grad) = grads.get(&slot.var) else { continue };
            let numbers = SgdStep {
                rate: rate * slot.rate_factor,
                weight_decay: slot.weight_decay,
                momentum: self.config.momentum,
            };
            sgd_step(&slot.var, grad, self.velocity.get(&slot.name), scale.as_ref(), numbers)?;
        }
        self.step += 1;
        Ok(())
    }

    /// Lets a step pass without an update, for a batch no term has a meaning for.
    pub fn skip(&mut self) {
        self.step += 1;
    }

    /// Trainable parameters that `grads` does not reach, sorted.
    pub fn unreached(&self, grads: &GradStore) -> Vec<String> {
        self.slots.iter().filter(|slot| grads.get(&slot.var).is_none()).map(|slot| slot.name.clone()).collect()
    }

    // Factor that brings the norm of all gradients down to the limit; it stays on the device.
    fn clip_scale(&self, grads: &GradStore) -> Result<Option<Tensor>> {
        let Some(limit) = self.config.clip_norm else { return Ok(None) };
        let gradients: Vec<&Tensor> = self.slots.iter().filter_map(|slot| grads.get(&slot.var)).collect();
        if gradients.is_empty() {
            return Ok(None);
        }
        Ok(Some(gradient_scale(&gradients, limit)?))
    }

    /// Momentum by parameter name, for a checkpoint: of every trainable parameter, or of none without momentum. The next
    /// step changes it in place.
    pub fn velocity(&self) -> &BTreeMap<String, Tensor> {
        &self.velocity
    }

    /// Takes up a saved state.
    ///
    /// # Errors
    /// Naming the first tensor that is missing, has another shape, or belongs to no trainable parameter; nothing is
    /// changed then.
    pub fn restore(&mut self, step: usize, mut velocity: BTreeMap<String, Tensor>) -> Result<()> {
        let misfit = |name: &str, reason: String| candle_wsss::Error::state(format!("optim.{name}"), reason);
        let mut restored = BTreeMap::new();
        for (name, own) in &self.velocity {
            let saved = velocity.remove(name).ok_or_else(|| misfit(name, "missing".to_string()))?;
            if saved.dims() != own.dims() {
                return Err(misfit(name, format!("expected shape {:?}, got {:?}", own.dims(), saved.dims())).into());
            }
            // A copy: steps change it, and what was saved may be needed again.
            restored.insert(name.clone(), saved.to_dtype(own.dtype())?.to_device(own.device())?.copy()?.detach());
        }
        if let Some(name) = velocity.keys().next() {
            return Err(misfit(name, "belongs to no parameter that is trained with momentum".to_string()).into());
        }
        self.velocity = restored;
        self.step = step;
        Ok(())
    }
}
