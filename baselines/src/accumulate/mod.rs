//! Online attention accumulation: over the epochs of a training, the pixel-wise maximum of the network's maps, as gray
//! PNG files. Here is what happens to one map; [`run`](crate::run) walks over images and epochs.

mod config;
mod file;
mod map;
mod seeds;

pub use config::{Acceptance, AccumulateConfig, AttentionInput, SeedOrigin};
pub use file::{AttentionInfo, attention_path, read_attention, write_attention};
pub use map::AttentionMap;
pub use seeds::{attention_scores, attention_seeds};
