//! Image-level labels of many images in one file.

use std::collections::BTreeMap;

/// Which classes every image has, as one file says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelTable {
    /// Names of the classes, where the file has them.
    pub class_names: Option<Vec<String>>,
    /// Foreground classes the file tells apart.
    pub num_classes: usize,
    /// By image name, ascending.
    pub labels: BTreeMap<String, Vec<usize>>,
}
