//! From activation maps to pixel labels.
//!
//! In order: the maps are normalised per image and class ([`min_max_norm`], [`max_norm`]); the background gets a score
//! ([`background`]); the best class that the image has wins each pixel ([`pseudo_label`]); and the winner may be refined
//! by the image's colours ([`Refine`]). [`scores`] is the first two at once, as the contrastive losses take them. Background is the last class throughout.

pub mod background;
mod normalize;
mod pseudo_label;
mod refine;

pub use normalize::{NORM_EPSILON, max_norm, min_max_norm, scores};
pub use pseudo_label::{label_softmax, pseudo_label};
pub use refine::{Refine, crf_image};
