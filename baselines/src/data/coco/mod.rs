//! MS COCO: labels and masks from `annotations/instances_<split>.json`.

use std::path::PathBuf;

use crate::data::mask::Mask;
use crate::data::source::DataSource;
use crate::error::{Error, Result};

/// A split of COCO as its JSON says it.
#[derive(Clone, Debug)]
pub(super) struct Coco {
    /// Names of the classes, by ascending category id.
    pub(super) class_names: Vec<String>,
    /// Images in the order of their ids.
    pub(super) images: Vec<CocoImage>,
}

/// An image of COCO.
#[derive(Clone, Debug)]
pub(super) struct CocoImage {
    /// Its name, without folder and extension.
    pub(super) name: String,
    /// Its file.
    pub(super) path: PathBuf,
    /// Its classes, ascending.
    pub(super) labels: Vec<usize>,
}

impl Coco {
    /// Reads the annotations of a split.
    pub(super) fn open(source: &DataSource) -> Result<Self> {
        Err(Error::data(&source.root, "COCO is not there yet"))
    }

    /// Draws the mask of an image, by its place in [`Self::images`].
    pub(super) fn mask(&self, index: usize) -> Result<Mask> {
        Err(Error::data(&self.images[index].path, "COCO is not there yet"))
    }
}
