//! MS COCO: labels and masks from `annotations/instances_<split>.json`.
//!
//! ```text
//! annotations/instances_<split>.json   categories, images, annotations
//! <split>/<file_name>                  images; or images/<split>/, images/, or the folder of the data set itself
//! ```
//!
//! What is read is COCO's format, not COCO: any number of categories up to what a mask can tell apart, any ids, any
//! image names. Masks are drawn when asked for, out of the polygons and run lengths kept in memory.

mod config;
mod document;
mod draw;
mod find;
mod json;
mod polygon;
mod run_length;

use std::ops::Range;
use std::path::{Path, PathBuf};

pub use crate::data::coco::config::{CocoConfig, Crowd, Overlap};
use crate::data::coco::document::{Shape, build, read};
use crate::data::coco::draw::{Canvas, Paint};
use crate::data::coco::find::Places;
use crate::data::coco::json::{NoSegmentation, Segmentation};
use crate::data::mask::Mask;
use crate::data::source::DataSource;
use crate::error::{Error, Result};

/// A split of COCO, or of anyone's data in its format.
#[derive(Clone, Debug)]
pub struct Coco {
    /// Names of the classes, by ascending category id.
    pub class_names: Vec<String>,
    /// Images in the order of their ids.
    pub images: Vec<CocoImage>,
    annotations: PathBuf,
    config: CocoConfig,
    /// In the order they are drawn, image by image.
    shapes: Vec<Shape>,
    /// The shapes of each image.
    ranges: Vec<Range<usize>>,
}

/// An image of COCO.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CocoImage {
    /// Its name, without folder and extension.
    pub name: String,
    /// Its file, which was there when the split was opened.
    pub path: PathBuf,
    /// Its classes, ascending.
    pub labels: Vec<usize>,
    /// Its width as the JSON has it, pixels; at least 1.
    pub width: usize,
    /// Its height as the JSON has it, pixels; at least 1.
    pub height: usize,
}

impl Coco {
    /// How its annotations are read.
    pub(in crate::data) fn config(&self) -> &CocoConfig {
        &self.config
    }

    /// Reads the annotations of a split with the usual choices. See [`Self::open_with`].
    ///
    /// # Errors
    /// Those of [`Self::open_with`].
    pub fn open(source: &DataSource) -> Result<Self> {
        Self::open_with(source, &CocoConfig::default())
    }

    /// Reads the annotations of a split.
    ///
    /// They are `annotations/instances_<split>.json`, with 2014 or 2017 behind the split if there is one of the two
    /// only, or the JSON that [`DataSource::labels`] names. Everything in it is checked here, so that nothing is left
    /// that could be wrong with a mask.
    ///
    /// # Errors
    /// When the JSON is missing, malformed or lacks a key; when an id is there twice or refers to nothing; when a
    /// segmentation is no polygon or does not fit its image; when an image file is missing; when there are more
    /// categories than a mask can tell apart.
    pub fn open_with(source: &DataSource, config: &CocoConfig) -> Result<Self> {
        let places = Places::new(source)?;
        build(read::<Segmentation>(&places.annotations)?, &places, config)
    }

    /// As [`Self::open_with`], for training: labels only. Segmentations are skipped, not checked and not kept; there
    /// are no masks.
    ///
    /// # Errors
    /// Those of [`Self::open_with`] but for segmentations.
    pub fn open_labels(source: &DataSource, config: &CocoConfig) -> Result<Self> {
        let places = Places::new(source)?;
        build(read::<NoSegmentation>(&places.annotations)?, &places, config)
    }

    /// The JSON.
    pub fn annotations(&self) -> &Path {
        &self.annotations
    }

    /// Images without a label. COCO has about one in a hundred; see [`CocoConfig::keep_unlabelled`].
    pub fn num_without_labels(&self) -> usize {
        self.images.iter().filter(|image| image.labels.is_empty()).count()
    }

    /// Whether every annotation has a segmentation. Data made for detection has boxes alone.
    pub fn has_masks(&self) -> bool {
        self.shapes.iter().all(Shape::has_segmentation)
    }

    /// Draws the mask of an image, by its place in [`Self::images`]. An image without annotation is all background.
    ///
    /// # Errors
    /// When one of its annotations has no segmentation.
    ///
    /// # Panics
    /// When there is no such image.
    pub fn mask(&self, index: usize) -> Result<Mask> {
        let image = &self.images[index];
        let shapes = &self.shapes[self.ranges[index].clone()];
        let mut canvas = Canvas::new(image.height, image.width, self.config.overlap);
        for shape in shapes {
            if !shape.has_segmentation() {
                let reason = format!("annotation {}: has no segmentation, so that no mask can be drawn", shape.id);
                return Err(Error::data(&self.annotations, reason));
            }
            let paint = match (shape.is_crowd, self.config.crowd) {
                (false, _) | (true, Crowd::Class) => Paint::Class(shape.class),
                (true, Crowd::Void) => Paint::Void,
                (true, Crowd::Skip) => continue,
            };
            let drawn = canvas.draw(&shape.segmentation, paint);
            drawn.map_err(|reason| document::wrong(&self.annotations, shape.id, &reason))?;
        }
        Ok(canvas.into_mask())
    }
}
