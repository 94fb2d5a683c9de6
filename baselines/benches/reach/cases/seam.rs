//! SEAM's own losses, from the network's maps of both views, compared at the size of the images as released.

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use candle_wsss::Pair;
use candle_wsss::ops::resized_mean;
use candle_wsss_baselines::seam::SeamLossConfig;
use candle_wsss_baselines::seam::loss::{ViewMaps, composed_objective, objective_at};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const BATCH: usize = 8;
const FOREGROUND: usize = 20;
/// Of the maps and of the images.
const MAPS: Pair<usize> = Pair { source: 56, target: 16 };
const IMAGES: Pair<usize> = Pair { source: 448, target: 128 };

pub(crate) fn make() -> Result<Tensors> {
    let counts: Vec<usize> = (0..BATCH).map(|image| 1 + image % 2).collect();
    let mut tensors = Tensors::from([("label".to_string(), inputs::multi_hot(FOREGROUND, &counts)?)]);
    for (view, side) in [(1, MAPS.source), (2, MAPS.target)] {
        for name in ["cam", "refined"] {
            let name = format!("{name}{view}");
            tensors.insert(name.clone(), inputs::smooth(&name, [BATCH, FOREGROUND + 1, side, side])?);
        }
    }
    let sides = [IMAGES.source as u32, IMAGES.target as u32];
    tensors.insert("sides".to_string(), Tensor::new(&sides, &Device::Cpu)?);
    Ok(tensors)
}

/// As the network asks for them, from the maps as they are; or composed of operations on enlarged ones.
pub(crate) fn prepare(form: &str, tensors: &Tensors) -> Result<Step> {
    let losses = match form {
        "ours" => objective_at,
        "composed" => composed_objective,
        other => bail!("SEAM's losses are ours or composed, not {other}"),
    };
    let (cams, refined) = (inputs::variables(tensors, "cam")?, inputs::variables(tensors, "refined")?);
    let labels = inputs::labels(tensors)?;
    let config = SeamLossConfig::default();
    let sizes = IMAGES.map(|side| (side, side));
    Ok(Box::new(move || {
        let maps = cams.as_ref().zip(refined.as_ref()).zip(sizes).try_map(|((cam, refined), size)| {
            let logits = resized_mean(&cam.narrow(1, 0, FOREGROUND)?, size)?;
            Ok::<_, candle_wsss::Error>(ViewMaps {
                logits,
                cam: cam.as_tensor().clone(),
                refined: refined.as_tensor().clone(),
            })
        })?;
        let total = losses(&maps, sizes, &labels, &config)?.terms.total()?.context("no term")?;
        Outcome::backward(total, &[&cams.source, &cams.target, &refined.source, &refined.target])
    }))
}
