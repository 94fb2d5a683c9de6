//! A data set looked over: every file read, every defect counted, and what works with what is there.

mod count;
mod look;
mod text;
mod verdict;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::data::listing::{Listing, Sight};
use crate::data::source::DataSource;
use crate::error::{Error, Result};

use count::count;
use look::look;

/// A data set opened as far as that goes, to be looked over.
pub struct Survey {
    source: DataSource,
    listing: Listing,
}

/// What a survey finds.
#[derive(Clone, Debug, Serialize)]
pub struct DataCheck {
    /// Folder of the data set.
    pub root: String,
    /// What kind of data set it is, in words.
    pub kind: String,
    /// Its part.
    pub split: String,
    /// Where the names of the images are from.
    pub list: String,
    /// Foreground classes.
    pub class_names: Vec<String>,
    /// Images.
    pub images: ImageCounts,
    /// Image-level labels.
    pub labels: LabelCounts,
    /// Masks.
    pub masks: MaskCounts,
    /// Saliency maps.
    pub saliency: SaliencyCounts,
    /// What is wrong, by kind; every one keeps something from working.
    pub problems: Vec<Problem>,
    /// What is not wrong and may surprise.
    pub notes: Vec<Problem>,
    /// What can be done with it.
    pub works: Vec<Work>,
}

/// Images of a data set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ImageCounts {
    /// Names in the list.
    pub listed: usize,
    /// Files that could be read to their end.
    pub readable: usize,
    /// Smallest width and height, pixels; they may be of two images.
    pub smallest: Option<[usize; 2]>,
    /// Largest width and height, pixels.
    pub largest: Option<[usize; 2]>,
    /// Images of the folder in no list; unknown for COCO.
    pub unlisted: Option<usize>,
}

/// Image-level labels of a data set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LabelCounts {
    /// Where they are from.
    pub source: String,
    /// Images whose labels could be read, an empty set being one.
    pub images: usize,
    /// Images with each class.
    pub per_class: Vec<usize>,
    /// Images by how many classes they have.
    pub per_image: BTreeMap<usize, usize>,
}

/// Masks of a data set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MaskCounts {
    /// Where they are from.
    pub source: String,
    /// Images that have one.
    pub there: usize,
    /// Pixels of all that could be read.
    pub pixels: usize,
    /// Of these, pixels nobody labelled.
    pub void: usize,
    /// Of these, pixels of the background.
    pub background: usize,
    /// Images whose mask has each class.
    pub per_class: Vec<usize>,
}

/// Saliency maps of a data set.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SaliencyCounts {
    /// Their folder.
    pub source: String,
    /// Images that have one.
    pub there: usize,
}

/// Something found more than once.
#[derive(Clone, Debug, Serialize)]
pub struct Problem {
    /// Of what kind.
    pub what: &'static str,
    /// How often.
    pub count: usize,
    /// The first few, with their files.
    pub first: Vec<String>,
}

/// Something that can be done with a data set, or not.
#[derive(Clone, Debug, Serialize)]
pub struct Work {
    /// What.
    pub what: &'static str,
    /// Whether.
    pub works: bool,
    /// Why not.
    pub reason: Option<String>,
}

impl Survey {
    /// Reads lists and labels.
    ///
    /// # Errors
    /// When there is no such data set, list or folder of images, or it is unknown which classes there are: without them
    /// there is nothing to look over.
    pub fn open(source: &DataSource) -> Result<Self> {
        Ok(Self { source: source.clone(), listing: Listing::read(source, Sight::Masks)? })
    }

    /// Images to look at.
    pub fn len(&self) -> usize {
        self.listing.images.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.listing.images.is_empty()
    }

    /// Reads every file; `tick` is called after each image, from several threads. What comes out does not depend on
    /// them.
    pub fn run(&self, tick: &(dyn Fn() + Sync)) -> DataCheck {
        let looks: Vec<_> = (0..self.len())
            .into_par_iter()
            .map(|index| {
                let look = look(&self.listing, index);
                tick();
                look
            })
            .collect();
        count(&self.source, &self.listing, &looks)
    }
}

impl DataCheck {
    /// Whether a network can be trained on it.
    pub fn trains(&self) -> bool {
        self.works.first().is_some_and(|work| work.works)
    }

    /// As JSON.
    ///
    /// # Errors
    /// None that is known.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string_pretty(self).map_err(|err| Error::Config(format!("data check: {err}")))
    }

    /// As a table.
    pub fn to_text(&self) -> String {
        text::write(self)
    }
}
