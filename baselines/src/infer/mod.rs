//! From a trained network to seeds: several sizes of the image, mirrored too, summed and normalised.

mod config;
mod file;
mod fuse;
mod run;
mod seed_maps;

pub use config::{ImageFilter, InferConfig, MapSource};
pub use file::{Precision, read_seeds, write_seeds};
pub use fuse::{NetworkMap, normalize_maps, sum_maps};
pub(crate) use run::normalized;
pub use run::seeds;
pub use seed_maps::SeedMaps;
