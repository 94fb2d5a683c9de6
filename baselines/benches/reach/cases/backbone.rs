//! ResNet38d at the width of the paper, one image, as it is trained: the stem and all batch normalisation frozen.

use anyhow::{Context, Result};
use candle_core::{DType, Device, Var};
use candle_wsss::{ParameterStore, SeededSampler};
use candle_wsss_baselines::backbone::{Backbone, ResNet38d, ResNet38dConfig};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const SEED: u64 = 3;
/// Layers whose gradients are compared: an early one, one in the middle, the last.
const COMPARED: [&str; 3] = ["b3.conv_branch2a.weight", "b5.conv_branch2b1.weight", "b7.conv_branch2b2.weight"];

// Without dropout, so that both sides compute one number.
fn config() -> ResNet38dConfig {
    ResNet38dConfig { dropout_b6: 0.0, dropout_b7: 0.0, ..ResNet38dConfig::default() }
}

fn network(device: &Device) -> Result<(ResNet38d, ParameterStore)> {
    let store = ParameterStore::new();
    let network = ResNet38d::new(&config(), store.var_builder(SEED, DType::F32, device))?;
    Ok((network, store))
}

/// An image, and the weights.
pub(crate) fn make(side: usize) -> Result<Tensors> {
    let (_, store) = network(&Device::Cpu)?;
    let mut tensors: Tensors = store.snapshot()?.into_iter().collect();
    tensors.insert("image".to_string(), inputs::normal("image", &[1, 3, side, side])?);
    Ok(tensors)
}

pub(crate) fn prepare(tensors: &Tensors, device: &Device) -> Result<Step> {
    let (network, store) = network(device)?;
    let image = inputs::get(tensors, "image")?.clone();
    let variables: Vec<Var> =
        COMPARED.iter().map(|name| store.get(name).context("no such layer")).collect::<Result<_>>()?;
    Ok(Box::new(move || {
        let last = network.forward(&image, Some(&SeededSampler::new(0)))?.last;
        Outcome::backward(last.sqr()?.mean_all()?, &variables.iter().collect::<Vec<_>>())
    }))
}
