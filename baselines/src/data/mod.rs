//! Data sets: reading, augmenting, batching.
//!
//! A [`DataSource`] names a part of one: PASCAL VOC's folders, COCO's JSON, or images beside a CSV of labels.
//! [`ImageSet`] is what training may see: images, image-level labels, saliency. [`Dataset`] adds the masks and is for
//! evaluation only; [`Loader`] takes an [`ImageSet`], so no mask can reach a loss.

mod annotation;
mod atomic;
mod decode;
mod label_table;
mod mask;
mod npy;
mod palette;
mod source;
mod text;

mod classes;
mod coco;
mod csv_labels;
mod image_folder;
mod kind;
mod labels;
mod list;
mod masks;
mod saliency;
mod voc;

mod dataset;
mod image_set;
mod listing;

mod check;

mod planes;

mod color;
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
pub use check::{DataCheck, ImageCounts, LabelCounts, MaskCounts, Problem, SaliencyCounts, Survey, Work};
pub use coco::{Coco, CocoConfig, CocoImage, Crowd, Overlap};
pub use config::{LoaderConfig, Resampling, ResizeMode, TargetView};
pub use dataset::Dataset;
pub(crate) use decode::MAX_PIXELS;
pub use decode::{read_gray_image, read_rgb_image};
pub use image_set::ImageSet;
pub use jitter::{Adjustment, Jitter};
pub use label_table::LabelTable;
pub use loader::Loader;
pub use mask::{BACKGROUND, MAX_CLASSES, Mask, VOID};
pub use npy::{read_npy_labels, write_npy_maps};
pub use palette::{color_map, read_mask, write_indexed_png, write_mask};
pub use prefetch::Prefetch;
pub use resample::{Filter, PassOrder, resize, resize_in_order};
pub use source::{DataSource, LabelSource};
pub use transform::{Augmentation, ResizeTo, Sample};
pub use voc::VOC_CLASSES;
