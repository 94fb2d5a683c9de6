//! The pixel correlation module behind its projections: maps spread over pixels with like features.

use anyhow::Result;
use candle_core::Var;
use candle_wsss_baselines::seam::PcmConfig;
use candle_wsss_baselines::seam::pcm::refine;

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const CLASSES: usize = 21;

pub(crate) fn make(side: usize, batch: usize) -> Result<Tensors> {
    let channels = PcmConfig::default().correlation_channels;
    let maps = |name: &str, channels: usize| inputs::normal(name, &[batch, channels, side, side]);
    Ok(Tensors::from([
        ("cam".to_string(), maps("cam", CLASSES)?.relu()?),
        ("features".to_string(), maps("features", channels)?),
        ("cotangent".to_string(), maps("cotangent", CLASSES)?.abs()?),
    ]))
}

// The maps get no gradient: the network cuts them off.
pub(crate) fn prepare(tensors: &Tensors) -> Result<Step> {
    let epsilon = PcmConfig::default().epsilon;
    let features = Var::from_tensor(inputs::get(tensors, "features")?)?;
    let (cam, cotangent) = (inputs::get(tensors, "cam")?.clone(), inputs::get(tensors, "cotangent")?.clone());
    Ok(Box::new(move || {
        let spread = refine(&cam, features.as_tensor(), epsilon)?;
        Outcome::backward((spread * &cotangent)?.sum_all()?, &[&features])
    }))
}
