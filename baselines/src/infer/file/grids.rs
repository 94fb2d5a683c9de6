//! Version 2: the maps of the network before they are resized, in 16 bits.
//!
//! Every class is stored as `value / 2^k`, `k` such that its largest magnitude over all grids lies in `[1/2, 1)`. Dividing
//! by a power of two is exact, so whatever the scale of a network's maps the rounding is that of 11 binary digits:
//! nothing overflows, and what is too small for a normal half is smaller than 1/16384 of the largest value.

use std::path::Path;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use super::{tensor, write};
use crate::error::{Error, Result};
use crate::infer::config::MapSource;
use crate::infer::grid_seeds::{Grid, GridSeeds};

pub(super) const VERSION: u32 = 2;

/// The largest `k`: no float32 asks for more.
const MOST_EXPONENT: i32 = 150;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Header {
    version: u32,
    classes: Vec<usize>,
    height: usize,
    width: usize,
    source: MapSource,
    /// The `k` of every class.
    exponents: Vec<i32>,
    /// Tensors `grid_0`, `grid_1`, .., `(classes, h, w)` each.
    grids: usize,
}

fn name(index: usize) -> String {
    format!("grid_{index}")
}

/// Writes the seeds of one image, version 2 of the format: all of the file or nothing.
///
/// What is read back are the scores of [`GridSeeds::rounded`].
///
/// # Errors
/// When the folder does not exist or cannot be written.
pub fn write_grid_seeds(path: &Path, seeds: &GridSeeds) -> Result<()> {
    let exponents = exponents(seeds);
    let header = Header {
        version: VERSION,
        classes: seeds.classes().to_vec(),
        height: seeds.height(),
        width: seeds.width(),
        source: seeds.source(),
        exponents: exponents.clone(),
        grids: seeds.grids().len(),
    };
    let bytes = |grid: &Grid| -> Vec<u8> { halves(grid, &exponents).flat_map(f16::to_le_bytes).collect() };
    let data: Vec<Vec<u8>> = seeds.grids().iter().map(bytes).collect();
    let view = |(index, (grid, data)): (usize, (&Grid, _))| {
        let shape = vec![seeds.classes().len(), grid.height, grid.width];
        let view = TensorView::new(Dtype::F16, shape, data).map_err(|err| Error::data(path, err.to_string()))?;
        Ok((name(index), view))
    };
    let grids = seeds.grids().iter().zip(data.iter().map(Vec::as_slice));
    write(path, &header, grids.enumerate().map(view).collect::<Result<_>>()?)
}

pub(super) fn decode(header: Header, tensors: &SafeTensors<'_>) -> Result<GridSeeds, String> {
    let Header { classes, height, width, source, exponents, grids, .. } = header;
    if exponents.len() != classes.len() {
        return Err(format!("header: expected an exponent a class, {}, got {}", classes.len(), exponents.len()));
    }
    if let Some(bad) = exponents.iter().find(|exponent| exponent.unsigned_abs() > MOST_EXPONENT.unsigned_abs()) {
        return Err(format!("header: exponents must be from -{MOST_EXPONENT} to {MOST_EXPONENT}, one is {bad}"));
    }
    if tensors.len() != grids {
        return Err(format!("header: expected {grids} tensors, got {}", tensors.len()));
    }
    let grid = |index: usize| {
        let name = name(index);
        let view = tensors.tensor(&name).map_err(|err| err.to_string())?;
        let &[_, height, width] = view.shape() else {
            return Err(format!("tensor `{name}`: expected 3 axes, got shape {:?}", view.shape()));
        };
        let view = tensor(tensors, &name, &[classes.len(), height, width])?;
        // Without classes there are no values, and sides may be anything.
        let cells =
            height.checked_mul(width).ok_or_else(|| format!("tensor `{name}`: is of {height} x {width} cells"))?;
        if view.dtype() != Dtype::F16 {
            return Err(format!("tensor `{name}`: expected dtype F16, got {}", view.dtype()));
        }
        let halves = view.data().as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes));
        Ok(Grid { height, width, maps: values(halves, cells, &exponents) })
    };
    let grids = (0..grids).map(grid).collect::<Result<Vec<_>, String>>()?;
    GridSeeds::new(classes, (height, width), source, grids).map_err(|err| err.to_string())
}

impl GridSeeds {
    /// What a file keeps of the maps: each value to 11 binary digits. Rounding again changes nothing.
    ///
    /// # Errors
    /// Never, for seeds that were made by [`Self::new`].
    pub fn rounded(&self) -> Result<Self> {
        let exponents = exponents(self);
        let round = |grid: &Grid| {
            let maps = values(halves(grid, &exponents), grid.height * grid.width, &exponents);
            Grid { height: grid.height, width: grid.width, maps }
        };
        let grids = self.grids().iter().map(round).collect();
        Self::new(self.classes().to_vec(), (self.height(), self.width()), self.source(), grids)
    }
}

/// The `k` of every class.
fn exponents(seeds: &GridSeeds) -> Vec<i32> {
    let largest = |class: usize| {
        let map = |grid: &Grid| {
            let cells = grid.height * grid.width;
            grid.maps[class * cells..(class + 1) * cells].iter().fold(0f32, |most, value| most.max(value.abs()))
        };
        seeds.grids().iter().map(map).fold(0f32, f32::max)
    };
    (0..seeds.classes().len()).map(|class| exponent(largest(class))).collect()
}

fn exponent(largest: f32) -> i32 {
    if largest == 0.0 {
        return 0;
    }
    // Every float32 above 0 is a normal float64, whose exponent stands in its bits.
    let exponent = ((f64::from(largest).to_bits() >> 52) & 0x7ff) as i32 - 1022;
    // Next to a power of two it rounds up to that, and would ask for another exponent when it is read.
    if half(largest, exponent) == f16::ONE { exponent + 1 } else { exponent }
}

fn half(value: f32, exponent: i32) -> f16 {
    f16::from_f64(f64::from(value) * 2f64.powi(-exponent))
}

fn halves<'a>(grid: &'a Grid, exponents: &'a [i32]) -> impl Iterator<Item = f16> + 'a {
    let cells = grid.height * grid.width;
    let maps = grid.maps.chunks_exact(cells.max(1)).zip(exponents);
    maps.flat_map(|(map, &exponent)| map.iter().map(move |value| half(*value, exponent)))
}

fn values(halves: impl Iterator<Item = f16>, cells: usize, exponents: &[i32]) -> Vec<f32> {
    let factors: Vec<f64> = exponents.iter().map(|exponent| 2f64.powi(*exponent)).collect();
    halves.enumerate().map(|(index, half)| (half.to_f64() * factors[index / cells]) as f32).collect()
}
