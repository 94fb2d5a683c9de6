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
    /// Whether images without a label stay. Papers count 82081 images of `train2014` and 40137 of `val2014`: without
    /// the 702 and 367 that have no annotation. They stay by default, as all that is in a file does.
    pub keep_unlabelled: bool,
}

impl Default for CocoConfig {
    fn default() -> Self {
        Self { crowd: Crowd::default(), overlap: Overlap::default(), crowd_labels: true, keep_unlabelled: true }
    }
}

impl CocoConfig {
    /// What reports call masks made so: `COCO polygons`, and what is not the default of masks and images.
    pub(in crate::data) fn title(&self) -> String {
        let usual = Self::default();
        let parts = [
            (self.crowd != usual.crowd).then(|| format!("crowds: {:?}", self.crowd)),
            (self.overlap != usual.overlap).then(|| format!("overlaps: {:?}", self.overlap)),
            (!self.keep_unlabelled).then(|| "only images with labels".to_string()),
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        if parts.is_empty() { "COCO polygons".to_string() } else { format!("COCO polygons ({})", parts.join(", ")) }
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
