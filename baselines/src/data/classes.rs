//! `classes.txt`: the names of the foreground classes.

use std::collections::BTreeMap;
use std::path::Path;

use crate::data::mask::MAX_CLASSES;
use crate::data::text::{lines, read_text};
use crate::error::{Error, Result};

/// Name of the file, at the root of a data set.
pub(super) const CLASSES_FILE: &str = "classes.txt";

/// What lists call the background where line `k` names mask value `k`.
pub(super) const BACKGROUND_NAME: &str = "background";

/// Reads `classes.txt` of a data set, `None` when it has no such file.
///
/// # Errors
/// When it has no class, too many for a mask file, or one twice.
pub(super) fn read_class_names(root: &Path) -> Result<Option<Vec<String>>> {
    let path = root.join(CLASSES_FILE);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_text(&path, "the names of the classes")?;
    let mut first = BTreeMap::new();
    let mut names = Vec::new();
    for (number, line) in lines(&text) {
        if let Some(before) = first.insert(line, number) {
            return Err(Error::data(&path, format!("line {number}: `{line}` is there already, on line {before}")));
        }
        names.push(line.to_string());
    }
    if names.first().is_some_and(|name| name == BACKGROUND_NAME) {
        names.remove(0);
    }
    expect_count(&path, &names, "one a line")?;
    Ok(Some(names))
}

/// Fails unless a mask file can tell these classes apart.
pub(super) fn expect_count(path: &Path, names: &[String], form: &str) -> Result<()> {
    if (1..=MAX_CLASSES).contains(&names.len()) {
        return Ok(());
    }
    Err(Error::data(path, format!("expected 1 to {MAX_CLASSES} class names, {form}; got {}", names.len())))
}
