//! Lists of images: one a line, by name, or by path as the lists beside released code have it.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::image_folder::without_extension;
use crate::data::text::{is_plain, lines, read_text};
use crate::error::{Error, Result};

/// A list as far as it can be read.
pub(super) struct ImageList {
    /// Names of images in the list's order, each once.
    pub(super) names: Vec<String>,
    /// Lines that name no image, or one that was there already.
    pub(super) problems: Vec<Error>,
}

/// Reads a list of images.
///
/// A line is a name, with or without the extension of an image, or starts with a path whose last part is one:
/// `/JPEGImages/2007_000032.jpg /SegmentationClassAug/2007_000032.png`. What follows such a path is not looked at.
///
/// # Errors
/// When the file is missing, no text, or empty.
pub(super) fn read_list(path: &Path, expected: &str) -> Result<ImageList> {
    let text = read_text(path, expected)?;
    let mut first = BTreeMap::new();
    let mut list = ImageList { names: Vec::new(), problems: Vec::new() };
    for (number, line) in lines(&text) {
        let Some(name) = name_of(line) else {
            let reason = format!("line {number}: expected the name of an image without its folder, got `{line}`");
            list.problems.push(Error::data(path, reason));
            continue;
        };
        if let Some(before) = first.insert(name, number) {
            let reason = format!("line {number}: `{name}` is there already, on line {before}");
            list.problems.push(Error::data(path, reason));
            continue;
        }
        list.names.push(name.to_string());
    }
    if list.names.is_empty() && list.problems.is_empty() {
        return Err(Error::data(path, "expected the names of images, one a line; the list is empty"));
    }
    Ok(list)
}

fn name_of(line: &str) -> Option<&str> {
    // Names may have spaces; paths of the lists that circulate have none.
    let path = if line.contains('/') { line.split_whitespace().next()? } else { line };
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
    let file = parts.next_back()?;
    let name = without_extension(file);
    (parts.all(is_plain) && is_plain(file) && is_plain(name)).then_some(name)
}

/// The names a split may have: `trainaug` and `train_aug` are one.
pub(super) fn split_names(split: &str) -> Vec<&str> {
    match split {
        "trainaug" => vec!["trainaug", "train_aug"],
        "train_aug" => vec!["train_aug", "trainaug"],
        other => vec![other],
    }
}

/// Whether a split is VOC's training list with SBD's images, by its name or that of its list, `train_aug_id.txt` being
/// one.
pub(super) fn is_augmented(split: &str) -> bool {
    let stem = Path::new(split).file_stem().and_then(|stem| stem.to_str()).unwrap_or(split);
    split_names("trainaug").into_iter().any(|name| stem.starts_with(name))
}
