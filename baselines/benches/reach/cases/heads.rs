//! Projections of the trunk's features, of one image: the larger part of what a regularizer adds to a step.

use anyhow::Result;
use candle_core::{DType, Tensor};
use candle_wsss::regularizer::hsc::{HscConfig, HscHeads};
use candle_wsss::regularizer::ppc::{PpcConfig, PpcRegularizer};
use candle_wsss::{BaselineSpec, ClassLayout, ParameterStore};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const FOREGROUND: usize = 20;
const CHANNELS: usize = 4096;
const SIDES: [usize; 2] = [56, 16];

pub(crate) fn make() -> Result<Tensors> {
    let mut tensors = Tensors::new();
    for (view, side) in [(1, SIDES[0]), (2, SIDES[1])] {
        let name = format!("features{view}");
        tensors.insert(name.clone(), inputs::normal(&name, &[1, CHANNELS, side, side])?.relu()?);
    }
    Ok(tensors)
}

pub(crate) fn ppc(tensors: &Tensors) -> Result<Step> {
    let (store, spec) = (ParameterStore::new(), spec()?);
    let config = PpcConfig::seam();
    let vb = store.var_builder(0, DType::F32, inputs::get(tensors, "features1")?.device());
    let regularizer = PpcRegularizer::new(config, &spec, vb)?;
    step(tensors, move |features| Ok(vec![regularizer.project(features)?]))
}

pub(crate) fn hsc(tensors: &Tensors) -> Result<Step> {
    let store = ParameterStore::new();
    let vb = store.var_builder(0, DType::F32, inputs::get(tensors, "features1")?.device());
    let heads = HscHeads::new(CHANNELS, &HscConfig::default(), &vb)?;
    step(tensors, move |features| {
        let maps = heads.forward(features)?;
        Ok(vec![maps.pixel, maps.region])
    })
}

fn spec() -> Result<BaselineSpec> {
    Ok(BaselineSpec { layout: ClassLayout::new(FOREGROUND)?, feature_dim: CHANNELS, stride: 8 })
}

fn step(tensors: &Tensors, project: impl Fn(&Tensor) -> Result<Vec<Tensor>> + 'static) -> Result<Step> {
    let features = inputs::variables(tensors, "features")?;
    Ok(Box::new(move || {
        let mut value = None;
        for map in [&features.source, &features.target] {
            for projected in project(map.as_tensor())? {
                let own = projected.sqr()?.mean_all()?;
                value = Some(match value {
                    None => own,
                    Some(sum) => (sum + own)?,
                });
            }
        }
        let Some(value) = value else { anyhow::bail!("nothing projected") };
        Outcome::backward(value, &[&features.source, &features.target])
    }))
}
