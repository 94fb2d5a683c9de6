//! Which data set, and where its parts are.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::data::coco::CocoConfig;

/// A part of a data set in a folder. What kind of data set it is, the folder shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// Its folder.
    pub root: PathBuf,
    /// Its part: a list of images, or the name of COCO's annotations.
    pub split: String,
    /// Where image-level labels come from.
    pub labels: LabelSource,
    /// Folder of masks, below the root unless absolute; the data set's usual one without it.
    pub masks: Option<PathBuf>,
    /// Folder of saliency maps, below the root unless absolute; the data set's usual one without it.
    pub saliency: Option<PathBuf>,
    /// How annotations of COCO become labels and masks; of no effect on other kinds.
    pub coco: CocoConfig,
}

impl DataSource {
    /// All in its usual place.
    pub fn new(root: impl AsRef<Path>, split: &str) -> Self {
        Self {
            root: root.as_ref().to_path_buf(),
            split: split.to_string(),
            labels: LabelSource::Auto,
            masks: None,
            saliency: None,
            coco: CocoConfig::default(),
        }
    }
}

impl DataSource {
    /// A file of the user's: the path as typed, or below the data set if a file is there only.
    pub(super) fn file(&self, typed: &Path) -> PathBuf {
        let below = self.root.join(typed);
        if !typed.is_file() && below.is_file() { below } else { typed.to_path_buf() }
    }
}

/// Where image-level labels come from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum LabelSource {
    /// The first of its usual places that is there.
    #[default]
    Auto,
    /// VOC's annotations, one XML file an image.
    Xml,
    /// The classes a mask has. This looks at masks, and whoever reports numbers should say so.
    Masks,
    /// A file: `cls_labels.npy`, a CSV, COCO's JSON. The path as it is, or below the data set if nothing is there.
    File(PathBuf),
}

impl FromStr for LabelSource {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "xml" => Self::Xml,
            "masks" => Self::Masks,
            path => Self::File(PathBuf::from(path)),
        })
    }
}
