//! A folder of images: which file an image's name stands for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::data::text::is_plain;
use crate::error::{Error, Result};

/// Extensions of images, in the order they are preferred if a name has several.
pub(super) const EXTENSIONS: [&str; 3] = ["jpg", "jpeg", "png"];

/// The images of a folder by name. Folders in it are not looked into.
#[derive(Clone, Debug)]
pub(super) struct ImageFolder {
    folder: PathBuf,
    files: BTreeMap<String, String>,
}

impl ImageFolder {
    /// Lists a folder.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::data(folder, "expected the folder of the images, there is no such folder"));
        }
        let mut files: BTreeMap<String, String> = BTreeMap::new();
        for entry in std::fs::read_dir(folder).map_err(Error::io(folder))? {
            // No list can name a file whose name is no text.
            let Ok(file) = entry.map_err(Error::io(folder))?.file_name().into_string() else { continue };
            let Some(rank) = rank(&file).filter(|_| is_plain(&file)) else { continue };
            let name = without_extension(&file).to_string();
            let is_better = files.get(&name).is_none_or(|known| (Some(rank), &file) < (self::rank(known), known));
            if is_better {
                files.insert(name, file);
            }
        }
        Ok(Self { folder: folder.to_path_buf(), files })
    }

    /// The file of an image.
    pub(super) fn find(&self, name: &str) -> Result<PathBuf> {
        match self.files.get(name) {
            Some(file) => Ok(self.folder.join(file)),
            None => {
                let reason = format!("expected an image (or .{}), there is no such file", EXTENSIONS[1..].join(", ."));
                Err(Error::data(self.folder.join(format!("{name}.{}", EXTENSIONS[0])), reason))
            }
        }
    }

    /// Names of all images, ascending.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

/// The name of a file without the extension of an image; other dots belong to the name.
pub(super) fn without_extension(file: &str) -> &str {
    match rank(file) {
        Some(_) => file.rsplit_once('.').map_or(file, |(name, _)| name),
        None => file,
    }
}

// Place in the order of extensions, none for what is no image.
fn rank(file: &str) -> Option<usize> {
    let (name, extension) = file.rsplit_once('.')?;
    let known = EXTENSIONS.iter().position(|known| known.eq_ignore_ascii_case(extension))?;
    (!name.is_empty()).then_some(known)
}
