//! Data sets in PASCAL VOC layout: reading, augmenting, batching.
//!
//! [`ImageSet`] is what training may see: images, image-level labels, saliency. [`Dataset`] adds the masks and is for
//! evaluation only; [`Loader`] takes an [`ImageSet`], so no mask can reach a loss.

mod annotation;
mod atomic;
mod coco;
mod decode;
mod label_table;
mod mask;
mod npy;
mod palette;
mod source;
mod voc;

mod jitter;
mod resample;
mod transform;

mod batch;
mod config;
mod loader;
mod prefetch;

pub use annotation::{Annotation, BoundingBox, Object};
pub(crate) use atomic::UNFINISHED;
pub use atomic::{write_atomic, write_atomic_new};
pub use batch::Batch;
pub use config::{LoaderConfig, TargetView};
pub use decode::{read_gray_image, read_rgb_image};
pub use jitter::{Adjustment, Jitter};
pub use label_table::LabelTable;
pub use loader::Loader;
pub use mask::{BACKGROUND, MAX_CLASSES, Mask, VOID};
pub use npy::{read_npy_labels, write_npy_maps};
pub use palette::{color_map, read_mask, write_indexed_png, write_mask};
pub use prefetch::Prefetch;
pub use resample::{Filter, resize};
pub use source::{DataSource, LabelSource};
pub use transform::{Augmentation, Sample};
pub use voc::{Dataset, ImageSet, VOC_CLASSES};
