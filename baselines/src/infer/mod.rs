//! From a trained network to seeds: several sizes of the image, mirrored too, summed and normalised.

mod config;
mod file;
mod fuse;
mod grid_seeds;
mod run;
mod seed_maps;

pub use config::{ImageFilter, InferConfig, MapSource};
pub use file::{Precision, read_seeds, write_grid_seeds, write_seeds};
pub use fuse::{NetworkMap, normalize_maps, sum_maps};
pub use grid_seeds::{Grid, GridSeeds};
pub(crate) use run::normalized;
pub use run::{Inference, infer_image, seeds};
pub use seed_maps::SeedMaps;
