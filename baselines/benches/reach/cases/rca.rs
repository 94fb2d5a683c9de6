//! RCA: regions of a batch against the memory of all classes.

use anyhow::{Context, Result};
use candle_core::{Device, Tensor, Var};
use candle_wsss::regularizer::rca::{RcaConfig, Regions, region_contrast};
use candle_wsss::{ClassQueue, SeededSampler};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const BATCH: usize = 8;
const CHANNELS: usize = 512;
/// Of a crop of 368.
const SIDE: usize = 46;
const DRAWS: u64 = 13;

fn queue(tensors: &Tensors) -> Result<ClassQueue> {
    let slots = inputs::get(tensors, "slots")?;
    let (classes, length, _) = slots.dims3()?;
    Ok(ClassQueue::from_parts(slots, vec![0; classes], vec![length as u32; classes])?)
}

/// Features, coarse maps, memory, labels, and the pairs as the loss draws them: 12 regions of 20 classes, 24 of 80.
pub(crate) fn make(classes: usize) -> Result<Tensors> {
    let length = RcaConfig::default().memory_length;
    let regions = if classes > 20 { [3, 3] } else { [1, 2] };
    let counts: Vec<usize> = (0..BATCH).map(|image| regions[image % 2]).collect();
    let mut tensors = Tensors::from([
        ("label".to_string(), inputs::multi_hot(classes, &counts)?),
        ("mid".to_string(), inputs::normal("mid", &[BATCH, CHANNELS, SIDE, SIDE])?),
        ("coarse".to_string(), inputs::smooth("coarse", [BATCH, classes, SIDE, SIDE])?),
        ("slots".to_string(), inputs::normal("slots", &[classes, length, CHANNELS])?),
    ]);
    let labels = inputs::labels(&tensors)?;
    let regions = Regions::new(inputs::get(&tensors, "coarse")?, &labels)?;
    let mid = inputs::get(&tensors, "mid")?;
    let sampler = SeededSampler::new(DRAWS);
    let contrast = region_contrast(mid, &regions, &labels, &queue(&tensors)?, &RcaConfig::default(), &sampler)?;
    let pairs = contrast.context("no region")?.pairs;
    let indices: Vec<i64> = pairs
        .iter()
        .flat_map(|pair| [pair.own.0, pair.own.1, pair.partner.0, pair.partner.1])
        .map(|index| index as i64)
        .collect();
    let shares: Vec<f32> = pairs.iter().map(|pair| pair.share as f32).collect();
    let count = pairs.len();
    tensors.insert("pairs".to_string(), Tensor::from_vec(indices, (count, 4), &Device::Cpu)?);
    tensors.insert("shares".to_string(), Tensor::from_vec(shares, count, &Device::Cpu)?);
    Ok(tensors)
}

pub(crate) fn prepare(tensors: &Tensors) -> Result<Step> {
    let config = RcaConfig::default();
    let mid = Var::from_tensor(inputs::get(tensors, "mid")?)?;
    let coarse = inputs::get(tensors, "coarse")?.clone();
    let (labels, queue) = (inputs::labels(tensors)?, queue(tensors)?);
    Ok(Box::new(move || {
        let regions = Regions::new(&coarse, &labels)?;
        let sampler = SeededSampler::new(DRAWS);
        let contrast = region_contrast(mid.as_tensor(), &regions, &labels, &queue, &config, &sampler)?;
        Outcome::backward(contrast.context("no region")?.value, &[&mid])
    }))
}
