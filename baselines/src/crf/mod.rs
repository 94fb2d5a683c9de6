//! Seeds refined by the colours of their image: from activation maps to masks.

mod config;
mod refine;
mod saliency;

pub use config::{Background, ColourOrder, CrfConfig, CrfLabels, SaliencyRules};
pub use refine::{CrfPosterior, SeedRefiner, refine_seeds, refine_seeds_with_saliency};
