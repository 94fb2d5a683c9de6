//! Run folders: made once, never written over.

use std::path::Path;

use crate::error::{Error, Result};

/// Makes a folder for a run. An existing one is refused unless it is empty.
///
/// # Errors
/// [`Error::OutputExists`], or when it cannot be made.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.exists() {
        let mut entries = std::fs::read_dir(path).map_err(Error::io(path))?;
        if entries.next().is_some() {
            return Err(Error::OutputExists(path.to_path_buf()));
        }
    }
    std::fs::create_dir_all(path).map_err(Error::io(path))
}
