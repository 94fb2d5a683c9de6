//! Where masks are: files of a folder, or polygons of COCO.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::data::coco::Coco;
use crate::data::kind::LISTS;
use crate::data::list::read_list;
use crate::data::mask::{BACKGROUND, Mask, VOID};
use crate::data::palette::read_mask;
use crate::data::voc::{OWN_LISTS, are_vocs};
use crate::error::{Error, Result};

/// Where masks are.
#[derive(Clone, Debug)]
pub(super) enum MaskPlace {
    Folder(PathBuf),
    /// Polygons, and whether every annotation has one.
    Coco(Arc<Coco>, bool),
}

impl MaskPlace {
    /// The file a mask comes from.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        match self {
            Self::Folder(folder) => folder.join(format!("{name}.png")),
            Self::Coco(coco, _) => coco.annotations().to_path_buf(),
        }
    }

    /// Whether an image has one.
    pub(super) fn is_there(&self, name: &str) -> bool {
        match self {
            Self::Folder(_) => self.path(name).is_file(),
            Self::Coco(_, has_masks) => *has_masks,
        }
    }

    /// Whether there is anything at all.
    pub(super) fn exists(&self) -> bool {
        match self {
            Self::Folder(folder) => folder.is_dir(),
            Self::Coco(_, has_masks) => *has_masks,
        }
    }

    /// Reads a mask whatever its values.
    pub(super) fn read_any(&self, index: usize, name: &str) -> Result<Mask> {
        match self {
            Self::Folder(_) => read_mask(self.path(name)),
            Self::Coco(coco, _) => coco.mask(index),
        }
    }

    /// Reads a mask with values of so many classes.
    pub(super) fn read(&self, index: usize, name: &str, classes: usize) -> Result<Mask> {
        let mask = self.read_any(index, name)?;
        match out_of_range(&mask, classes) {
            Some(reason) => Err(Error::data(self.path(name), reason)),
            None => Ok(mask),
        }
    }

    /// What reports call it: its folder, and what its masks are if they are VOC's and not all from VOC.
    pub(super) fn title(&self, root: &Path, names: &[&str]) -> String {
        let folder = match self {
            Self::Folder(folder) => folder,
            Self::Coco(coco, _) => return coco.config().title(),
        };
        let title = match folder.strip_prefix(root) {
            Ok(below) => below.display().to_string(),
            Err(_) => folder.display().to_string(),
        };
        let own = own_masks(root);
        if own.is_empty() || !are_vocs(names) {
            return title;
        }
        let count = names.iter().filter(|name| own.contains(**name)).count();
        match names.len() - count {
            // VOC's own folder of VOC's own masks needs no word.
            0 if title == "SegmentationClass" => title,
            0 => format!("{title} (all {count} in VOC's own lists)"),
            _ => format!("{title} ({count} of {} in VOC's own lists, the rest SBD)", names.len()),
        }
    }
}

/// What is wrong with the first value that is neither background, class nor void.
pub(super) fn out_of_range(mask: &Mask, classes: usize) -> Option<String> {
    let at = mask.data.iter().position(|&value| usize::from(value) > classes && value != VOID)?;
    let (x, y) = (at % mask.width, at / mask.width);
    Some(format!(
        "pixel ({x}, {y}) has value {}; expected {BACKGROUND} (background), 1 to {classes} (classes) or {VOID} (void)",
        mask.data[at]
    ))
}

// Images VOC itself has masks of, as far as the lists are there.
fn own_masks(root: &Path) -> BTreeSet<String> {
    let lists = OWN_LISTS.map(|list| root.join(LISTS).join(format!("{list}.txt")));
    let names = lists.iter().filter_map(|path| read_list(path, "a list").ok()).flat_map(|list| list.names);
    names.collect()
}
