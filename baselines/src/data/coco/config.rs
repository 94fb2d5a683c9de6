//! What COCO's format leaves open.

use serde::{Deserialize, Serialize};

/// How annotations become labels and masks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CocoConfig {
    /// What regions of many objects become in masks.
    pub crowd: Crowd,
    /// What becomes of pixels of several annotations.
    pub overlap: Overlap,
    /// Whether a crowd counts for the labels of its image; yes by default, as in the lists of labels in use, which
    /// have the categories of all annotations.
    pub crowd_labels: bool,
}

impl Default for CocoConfig {
    fn default() -> Self {
        Self { crowd: Crowd::default(), overlap: Overlap::default(), crowd_labels: true }
    }
}

/// What an annotation with `iscrowd` becomes in a mask: a region of many objects that nobody told apart.
///
/// Its class is known, and semantic segmentation does not tell objects apart; so the default draws it like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// Pixels of its class, as ground truth is usually made.
    #[default]
    Class,
    /// Void: neither right nor wrong. Evaluation of detectors does so.
    Void,
    /// Nothing; what is below stays.
    Skip,
}

/// What becomes of pixels that several annotations of an image cover.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// The last one in the file wins, as in a loop over the COCO API's annotations of an image.
    #[default]
    FileOrder,
    /// The one of the smallest `area` wins, so that no object vanishes below a large one; of equal ones the last in
    /// the file.
    SmallerOnTop,
    /// Void, as in torchvision's reference training for segmentation.
    Void,
}
