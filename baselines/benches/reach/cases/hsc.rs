//! HSC: seeds with an exact CRF, then all three levels, from projected features and maps of both views.

use anyhow::{Context, Result};
use candle_core::Tensor;
use candle_wsss::ops::{CrfKernel, DenseCrfConfig};
use candle_wsss::regularizer::hsc::{HscBanks, HscConfig, HscMaps, HscSeeds, evaluate};
use candle_wsss::seed::{Refine, crf_image};
use candle_wsss::{Pair, PrototypeBank, View};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const BATCH: usize = 12;
const FOREGROUND: usize = 20;
/// Sides of the maps of a crop of 448 and of its view of 128, and of that view.
const SIDES: [usize; 2] = [56, 16];
const TARGET_IMAGE: usize = 128;

fn config() -> HscConfig {
    let crf = DenseCrfConfig { kernel: CrfKernel::Exact, ..DenseCrfConfig::hsc_labels() };
    HscConfig { refine: Refine::DenseCrf(crf), ..HscConfig::default() }
}

/// Maps, image, labels, banks; and the refined labels, for the peer's value: a CRF may decide a tie of rounding
/// either way.
pub(crate) fn make() -> Result<Tensors> {
    let config = config();
    let mut tensors = Tensors::new();
    let counts: Vec<usize> = (0..BATCH).map(|image| 1 + image % 2).collect();
    tensors.insert("label".to_string(), inputs::multi_hot(FOREGROUND, &counts)?);
    let classes = FOREGROUND + 1;
    for (view, side) in [(1, SIDES[0]), (2, SIDES[1])] {
        for (name, channels) in [("pixel", config.pixel_dim), ("region", config.region_dim)] {
            let name = format!("{name}{view}");
            tensors.insert(name.clone(), inputs::normal(&name, &[BATCH, channels, side, side])?);
        }
        let name = format!("cam{view}");
        // Mostly positive: pixels that are not tie, and which of them are the best nobody says.
        let cam = (inputs::smooth(&name, [BATCH, classes, side, side])? + 1.0)?;
        tensors.insert(name, cam);
        for (name, rows, dim) in [
            ("roi_bank", 2, config.region_dim),
            ("class_bank", classes, config.region_dim),
            ("pixel_bank", classes, config.pixel_dim),
        ] {
            let name = format!("{name}{view}");
            tensors.insert(name.clone(), inputs::normal(&name, &[rows, dim])?);
        }
    }
    tensors.insert("image".to_string(), inputs::smooth("image", [BATCH, 3, TARGET_IMAGE, TARGET_IMAGE])?);
    let view = View::new(inputs::get(&tensors, "image")?.clone())?;
    let bytes = crf_image(&view, config.grid)?;
    let labels = inputs::labels(&tensors)?;
    let seeds = HscSeeds::new(inputs::pair(&tensors, "cam")?.as_ref(), &view, &labels, &config)?;
    tensors.insert("image_bytes".to_string(), bytes);
    tensors.insert("refined1".to_string(), seeds.labels.source);
    tensors.insert("refined2".to_string(), seeds.labels.target);
    Ok(tensors)
}

pub(crate) fn prepare(tensors: &Tensors) -> Result<Step> {
    let config = config();
    let (pixel, region) = (inputs::variables(tensors, "pixel")?, inputs::variables(tensors, "region")?);
    let cams = inputs::pair(tensors, "cam")?;
    let labels = inputs::labels(tensors)?;
    let view = View::new(inputs::get(tensors, "image")?.clone())?;
    let bank = |name: &str| -> Result<Pair<PrototypeBank>> {
        Ok(inputs::pair(tensors, name)?.map(|rows: Tensor| PrototypeBank::from_rows(&rows)))
    };
    let banks = HscBanks { roi: bank("roi_bank")?, class: bank("class_bank")?, pixel: bank("pixel_bank")? };
    Ok(Box::new(move || {
        let maps = pixel.as_ref().zip(region.as_ref());
        let maps = maps
            .map(|(pixel, region)| HscMaps { pixel: pixel.as_tensor().clone(), region: region.as_tensor().clone() });
        let seeds = HscSeeds::new(cams.as_ref(), &view, &labels, &config)?;
        let objective = evaluate(&maps, &seeds, &labels, &banks, &config)?;
        let total = objective.terms.total()?.context("no term")?;
        Outcome::backward(total, &[&pixel.source, &pixel.target, &region.source, &region.target])
    }))
}
