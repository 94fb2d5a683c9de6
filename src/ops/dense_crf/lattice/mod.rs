//! Gaussian kernels by permutohedral lattice, in time linear in the pixels: what released code computes with.

mod filter;
mod mean_field;
mod simplex;
mod softmax;
mod vertices;

use std::sync::Arc;

use crate::error::Result;
use crate::ops::dense_crf::DenseCrfConfig;
use crate::ops::dense_crf::channels::{Beliefs, Channels};

use filter::Lattice;
use mean_field::{BILATERAL, Lattices, SPATIAL};

pub(super) use mean_field::padded;

/// The kernel of positions, which depends on the size of an image alone.
#[derive(Clone)]
pub(super) struct SpatialLattice(Arc<Lattice<SPATIAL>>);

/// The kernel of positions of images of this size.
pub(super) fn spatial_lattice((height, width): (usize, usize), config: &DenseCrfConfig) -> Result<SpatialLattice> {
    let widths = [config.gaussian_sxy; 2];
    let lattice = Lattice::new(height * width, "gaussian_sxy", &widths, &[width, height], |pixel| {
        [pixel % width, pixel / width, 0]
    })?;
    Ok(SpatialLattice(Arc::new(lattice.normalized(config.gaussian_compat))))
}

/// Both kernels of one image.
pub(super) struct LatticeKernel {
    spatial: SpatialLattice,
    bilateral: Lattice<BILATERAL>,
}

impl LatticeKernel {
    /// `rgb` is row-major, three bytes a pixel.
    pub(super) fn new(
        rgb: &[u8],
        (height, width): (usize, usize),
        spatial: SpatialLattice,
        config: &DenseCrfConfig,
    ) -> Result<Self> {
        let levels = usize::from(u8::MAX) + 1;
        let widths = [
            config.bilateral_sxy,
            config.bilateral_sxy,
            config.bilateral_srgb,
            config.bilateral_srgb,
            config.bilateral_srgb,
        ];
        let lattice = Lattice::new(
            height * width,
            "bilateral_sxy and bilateral_srgb",
            &widths,
            &[width, height, levels, levels, levels],
            |pixel| {
                let colour = |channel: usize| usize::from(rgb[pixel * 3 + channel]);
                [pixel % width, pixel / width, colour(0), colour(1), colour(2), 0]
            },
        )?;
        Ok(Self { spatial, bilateral: lattice.normalized(config.bilateral_compat) })
    }

    /// The posterior after some iterations.
    pub(super) fn mean_field(&self, channels: &Channels<f32>, iterations: usize) -> Beliefs {
        let lattices = Lattices { spatial: &self.spatial.0, bilateral: &self.bilateral };
        mean_field::mean_field(&lattices, channels, iterations)
    }
}
