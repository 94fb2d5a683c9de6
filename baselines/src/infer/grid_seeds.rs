//! [`GridSeeds`]: seeds before they are resized, all that has to be kept of an image.

use candle_core::{Device, Tensor};
use candle_wsss::Error;

use crate::error::Result;
use crate::infer::config::MapSource;
use crate::infer::fuse::{normalize, sum_resized};
use crate::infer::seed_maps::SeedMaps;

/// Maps of the classes of one image at the resolution of the network, one sum for every size they came in.
///
/// Scores are what becomes of them at the size of the image: resized, summed over the sizes, normalised. The maps
/// themselves are 16 times smaller than one map at the size of the image, with a stride of 8 and the usual four scales
/// 8 times all together.
#[derive(Clone, Debug, PartialEq)]
pub struct GridSeeds {
    classes: Vec<usize>,
    height: usize,
    width: usize,
    source: MapSource,
    grids: Vec<Grid>,
}

/// Maps of one size.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Rows of every map.
    pub height: usize,
    /// Columns of every map.
    pub width: usize,
    /// `(classes, height, width)`, row-major, of the classes of the image.
    pub maps: Vec<f32>,
}

impl GridSeeds {
    /// Maps of foreground classes in ascending order, of an image of `height` by `width` pixels.
    ///
    /// # Errors
    /// When the classes do not ascend or do not fit an 8-bit mask, when there are classes and no maps or the reverse,
    /// when a grid has not one map a class, a value is not a finite number, or the image has no pixels, more than
    /// 2^26, or more than 2^28 scores: classes times pixels.
    pub fn new(
        classes: Vec<usize>,
        (height, width): (usize, usize),
        source: MapSource,
        grids: Vec<Grid>,
    ) -> Result<Self> {
        let fail = |reason: String| Err(Error::value("seed maps", reason).into());
        SeedMaps::check_classes(&classes)?;
        if height == 0 || width == 0 {
            return fail(format!("expected an image with pixels, got {height} x {width}"));
        }
        SeedMaps::check_size(classes.len(), (height, width))?;
        if classes.is_empty() != grids.is_empty() {
            return fail(format!("expected maps where there are classes, got {} for {classes:?}", grids.len()));
        }
        for Grid { height, width, maps } in &grids {
            let cells = height.checked_mul(*width).filter(|cells| *cells > 0);
            if cells.and_then(|cells| cells.checked_mul(classes.len())) != Some(maps.len()) {
                let shape = format!("{} maps of {height} x {width}", classes.len());
                return fail(format!("expected {shape}, got {} values", maps.len()));
            }
            if let Some(at) = maps.iter().position(|value| !value.is_finite()) {
                let class = classes[at / (height * width)];
                return fail(format!("a value of class {class} is not a number, but {}", maps[at]));
            }
        }
        Ok(Self { classes, height, width, source, grids })
    }

    /// Foreground classes of the image, ascending.
    pub fn classes(&self) -> &[usize] {
        &self.classes
    }

    /// Rows of the image.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Columns of the image.
    pub fn width(&self) -> usize {
        self.width
    }

    /// How the sum becomes scores.
    pub fn source(&self) -> MapSource {
        self.source
    }

    /// The maps, one entry a size.
    pub fn grids(&self) -> &[Grid] {
        &self.grids
    }

    /// Scores at the size of the image.
    ///
    /// # Errors
    /// When sums of the maps are too large for float32.
    pub fn seed_maps(&self) -> Result<SeedMaps> {
        let Self { classes, height, width, source, grids } = self;
        if classes.is_empty() {
            return SeedMaps::new(Vec::new(), *height, *width, Vec::new());
        }
        let tensor = |grid: &Grid| {
            let shape = (1, classes.len(), grid.height, grid.width);
            Tensor::from_slice(&grid.maps, shape, &Device::Cpu)
        };
        let grids = grids.iter().map(tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let mut scores = sum_resized(&grids, (*height, *width))?.flatten_all()?.to_vec1::<f32>()?;
        normalize(&mut scores, height * width, *source);
        SeedMaps::new(classes.clone(), *height, *width, scores)
    }
}
