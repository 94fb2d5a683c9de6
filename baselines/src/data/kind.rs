//! Which kind of data set a folder is, and where that kind has its parts.

use std::path::{Path, PathBuf};

use crate::data::list::is_augmented;
use crate::data::source::{DataSource, LabelSource};
use crate::error::{Error, Result};

/// Where VOC has its lists.
pub(super) const LISTS: &str = "ImageSets/Segmentation";
const IMAGES: &str = "JPEGImages";
const ANNOTATIONS: &str = "Annotations";
const MASKS: &str = "SegmentationClass";
const AUGMENTED_MASKS: &str = "SegmentationClassAug";

/// Kinds of data sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// PASCAL VOC's folders.
    Voc,
    /// Images and a table of their labels.
    Folder,
    /// MS COCO's JSON.
    Coco,
}

impl Kind {
    /// What a folder shows.
    ///
    /// # Errors
    /// When there is no such folder, or none of the kinds is recognised.
    pub(super) fn of(source: &DataSource) -> Result<Self> {
        let root = &source.root;
        if !root.is_dir() {
            return Err(Error::data(root, "expected the folder of a data set, there is no such folder"));
        }
        let has = |name: &str| root.join(name).is_dir();
        let is_json = matches!(&source.labels, LabelSource::File(path) if has_extension(path, "json"));
        if is_json || (source.labels != LabelSource::Xml && has_instances(root)) {
            Ok(Self::Coco)
        } else if has("ImageSets") || (has(IMAGES) && has(ANNOTATIONS)) {
            Ok(Self::Voc)
        } else if has("images")
            || has(IMAGES)
            || !files_ending(root, "csv").is_empty()
            || matches!(source.labels, LabelSource::File(_))
        {
            Ok(Self::Folder)
        } else {
            Err(unknown(root))
        }
    }

    /// In words.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Voc => "PASCAL VOC layout",
            Self::Folder => "folder with a table of labels",
            Self::Coco => "COCO",
        }
    }

    /// Folder of the images.
    pub(super) fn images(self, root: &Path) -> PathBuf {
        let below = [IMAGES, "images"].map(|name| root.join(name)).into_iter().find(|folder| folder.is_dir());
        match self {
            Self::Folder => below.unwrap_or_else(|| root.to_path_buf()),
            Self::Voc | Self::Coco => root.join(IMAGES),
        }
    }

    /// Folder of the masks: the one asked for, else the usual one.
    pub(super) fn masks(self, source: &DataSource) -> PathBuf {
        let at = |name: &str| source.root.join(name);
        if let Some(asked) = &source.masks {
            return source.root.join(asked);
        }
        match self {
            Self::Folder if at("masks").is_dir() || !at(MASKS).is_dir() => at("masks"),
            _ if is_augmented(&source.split) && at(AUGMENTED_MASKS).is_dir() => at(AUGMENTED_MASKS),
            _ => at(MASKS),
        }
    }

    /// Folder of the annotations.
    pub(super) fn annotations(root: &Path) -> PathBuf {
        root.join(ANNOTATIONS)
    }
}

/// Whether a path ends in an extension, small or capital letters.
pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|own| own.eq_ignore_ascii_case(extension))
}

/// Files of a folder with an extension, sorted; none when it cannot be listed.
pub(super) fn files_ending(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(|path| has_extension(path, extension) && path.is_file()).collect();
    found.sort();
    found
}

fn unknown(root: &Path) -> Error {
    let expected = format!(
        "expected a data set: PASCAL VOC's folders ({IMAGES}, {LISTS}), COCO's (annotations/instances_<split>.json), \
         or a CSV of image-level labels beside its images or a folder `images`"
    );
    // Where VOC's archive is unpacked, the data set is two folders down.
    let inner = ["VOC2012", "VOCdevkit/VOC2012"].map(|name| root.join(name)).into_iter().find(|path| path.is_dir());
    let hint = inner.map_or_else(String::new, |path| format!("; there is one in {}", path.display()));
    Error::data(root, format!("{expected}{hint}"))
}

fn has_instances(root: &Path) -> bool {
    let is_instances =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("instances_"));
    files_ending(&root.join("annotations"), "json").iter().any(is_instances)
}
