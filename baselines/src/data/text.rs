//! Text files: lists of images, names of classes, tables of labels.

use std::path::Path;

use crate::data::decode::read_file;
use crate::error::{Error, Result};

/// What editors put before UTF-8 text to say that it is.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Reads a text file.
///
/// # Errors
/// When it is missing, or no UTF-8; then the line is named.
pub(super) fn read_text(path: &Path, expected: &str) -> Result<String> {
    let bytes = read_file(path, expected)?;
    let text = String::from_utf8(bytes).map_err(|err| {
        let valid = err.utf8_error().valid_up_to();
        let line = 1 + err.as_bytes()[..valid].iter().filter(|byte| **byte == b'\n').count();
        Error::data(path, format!("line {line}: expected UTF-8 text, byte {} of the file is none", valid + 1))
    })?;
    Ok(text.strip_prefix(BYTE_ORDER_MARK).map(str::to_string).unwrap_or(text))
}

/// Lines that are not blank, trimmed, with their numbers from 1.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty())
}

/// Whether a name is one component of a path, so that nothing outside its folder can be reached.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty() && name != "." && name != ".." && !name.contains(|c: char| "/\\".contains(c) || c.is_control())
}
