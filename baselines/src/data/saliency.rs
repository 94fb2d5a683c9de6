//! Where saliency maps are.

use std::path::{Path, PathBuf};

use crate::data::source::DataSource;
use crate::error::{Error, Result};

const FOLDER: &str = "saliency";
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// Folder of the saliency maps: the one asked for, which must be there, else the usual one.
pub(super) fn saliency_folder(source: &DataSource) -> Result<PathBuf> {
    match &source.saliency {
        Some(asked) => {
            let folder = source.root.join(asked);
            if folder.is_dir() {
                return Ok(folder);
            }
            Err(Error::data(folder, "expected the folder of saliency maps, there is no such folder"))
        }
        None => Ok(source.root.join(FOLDER)),
    }
}

/// The map of an image: the first there is of .png, .jpg and .jpeg; where it would be without one.
pub(super) fn saliency_path(folder: &Path, name: &str) -> PathBuf {
    let candidates = EXTENSIONS.map(|extension| folder.join(format!("{name}.{extension}")));
    candidates.iter().find(|path| path.is_file()).unwrap_or(&candidates[0]).clone()
}
