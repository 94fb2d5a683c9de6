//! The dense CRF by lattice on an image of VOC's size, with hard labels.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use candle_wsss::ops::{DenseCrf, DenseCrfConfig};

use crate::inputs::{self, Tensors};
use crate::measure::{Outcome, Step};

const WIDTH: usize = 500;
const HEIGHT: usize = 375;
/// Labels that occur, of all there are.
const PRESENT: usize = 4;

// Blocks of colour with a fine texture: the picture of `benches/peer/crf.py`.
fn picture() -> Result<Tensor> {
    let level = |x: usize, y: usize, c: usize| hashed(x, y, c + 1) / 2 + x / 5 + y / 7 + (x * 7 + y * 13 + c) % 9;
    let bytes: Vec<u8> = pixels().flat_map(|(x, y)| [0, 1, 2].map(|c| level(x, y, c).min(255) as u8)).collect();
    Ok(Tensor::from_vec(bytes, (HEIGHT, WIDTH, 3), &Device::Cpu)?)
}

fn pixels() -> impl Iterator<Item = (usize, usize)> {
    (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)))
}

fn hashed(x: usize, y: usize, label: usize) -> usize {
    ((((x / 25) * 73_856_093) ^ ((y / 25) * 19_349_663) ^ (label * 83_492_791)) >> 3) & 255
}

fn refined(image: &Tensor, given: &Tensor, labels: usize) -> Result<Tensor> {
    Ok(DenseCrf::new(image, &DenseCrfConfig::hsc_labels())?.refine_labels(given, labels)?)
}

/// Image, given labels, and ours after refinement, which the peer's are compared with.
pub(crate) fn make(labels: usize) -> Result<Tensors> {
    let image = picture()?;
    let given: Vec<u32> = pixels().map(|(x, y)| (hashed(x, y, 0) % PRESENT) as u32).collect();
    let given = Tensor::from_vec(given, (HEIGHT, WIDTH), &Device::Cpu)?;
    let refined = refined(&image, &given, labels)?;
    Ok(Tensors::from([
        ("image".to_string(), image),
        ("given".to_string(), given),
        ("refined".to_string(), refined),
        ("labels".to_string(), Tensor::new(&[labels as u32], &Device::Cpu)?),
    ]))
}

pub(crate) fn prepare(labels: usize, tensors: &Tensors) -> Result<Step> {
    let (image, given) = (inputs::get(tensors, "image")?.clone(), inputs::get(tensors, "given")?.clone());
    Ok(Box::new(move || {
        let value = refined(&image, &given, labels)?.to_dtype(DType::F32)?.mean_all()?;
        Ok(Outcome { value, gradients: Vec::new() })
    }))
}
