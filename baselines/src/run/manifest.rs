//! What the files of a folder are made with, in a file beside them: written once, and compared by whoever comes later.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::data::{ImageSet, UNFINISHED, write_atomic_new};
use crate::error::{Error, Result};
use crate::run::folder::another_run;

/// Makes `folder` one of these files: writes `manifest` under `name` where there is none, compares where there is one.
/// Says whether it wrote.
///
/// A folder with a manifest is taken with `joins` only: to resume, or because other shards write there too. Whoever
/// comes at the same time finds the whole manifest or writes it. `what` names the files in messages.
///
/// # Errors
/// [`Error::OutputExists`] where the folder may not be taken, and naming the first field that differs.
pub(crate) fn open_with<T: Serialize + DeserializeOwned>(
    folder: &Path,
    name: &str,
    manifest: &T,
    what: &str,
    joins: bool,
) -> Result<bool> {
    let path = folder.join(name);
    // In this order: a manifest that comes in between is seen.
    let (is_used, has_manifest) = (is_used(folder)?, path.exists());
    if is_used && !(has_manifest && joins) {
        return Err(Error::OutputExists(folder.to_path_buf()));
    }
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let text = serde_json::to_string_pretty(manifest).map_err(|err| Error::data(&path, err.to_string()))? + "\n";
    if !has_manifest && write_atomic_new(&path, |file| file.write_all(text.as_bytes()))? {
        return Ok(true);
    }
    expect_same::<T>(&path, &text, what)?;
    Ok(false)
}

fn expect_same<T: Serialize + DeserializeOwned>(path: &Path, text: &str, what: &str) -> Result<()> {
    let bad = |err: serde_json::Error| Error::data(path, format!("no manifest of {what} this program can read: {err}"));
    // Both through text, which may take the last digit of a number.
    let read = |text: &str| serde_json::to_value(serde_json::from_str::<T>(text).map_err(bad)?).map_err(bad);
    let there = std::fs::read_to_string(path).map_err(Error::io(path))?;
    match first_difference("", Some(&read(&there)?), Some(&read(text)?)) {
        None => Ok(()),
        Some((field, before, now)) => Err(another_run(path, &format!("`{field}`"), &before, &now)),
    }
}

/// Where two values differ first, by name, and what either has there.
fn first_difference(path: &str, before: Option<&Value>, now: Option<&Value>) -> Option<(String, String, String)> {
    match (before, now) {
        (Some(Value::Object(before)), Some(Value::Object(now))) => {
            let mut keys: Vec<&String> = before.keys().chain(now.keys()).collect();
            keys.sort();
            keys.dedup();
            keys.into_iter().find_map(|key| {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                first_difference(&path, before.get(key), now.get(key))
            })
        }
        (before, now) if before == now => None,
        (before, now) => {
            let shown = |value: Option<&Value>| value.map_or_else(|| "not set".to_string(), ToString::to_string);
            Some((path.to_string(), shown(before), shown(now)))
        }
    }
}

/// Checksum and length of some bytes, in words.
pub(crate) fn checksum(bytes: &[u8]) -> String {
    format!("crc32c {:08x}, {} bytes", crc32c::crc32c(bytes), bytes.len())
}

/// [`checksum`] of the names and image-level labels of a list, in their order.
pub(crate) fn checksum_of_list(images: &ImageSet) -> String {
    let mut text = String::new();
    for index in 0..images.len() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{} {:?}", images.name(index), images.labels(index));
    }
    checksum(text.as_bytes())
}

// Whether something is there that is no folder, or a folder with more in it than what is just being written.
fn is_used(folder: &Path) -> Result<bool> {
    if !folder.is_dir() {
        return Ok(folder.exists());
    }
    let mut entries = std::fs::read_dir(folder).map_err(Error::io(folder))?;
    Ok(entries.any(|entry| !entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(UNFINISHED))))
}

/// What a job made before its first file: to be taken back if there never is one.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    manifest: Option<PathBuf>,
    folders: Vec<PathBuf>,
}

impl Prepared {
    /// Makes a folder, unless it is there: then it is somebody else's.
    ///
    /// # Errors
    /// When it cannot be made, or a file has its name.
    pub(crate) fn folder(&mut self, path: &Path) -> Result<()> {
        if !path.is_dir() {
            if path.exists() {
                return Err(Error::OutputExists(path.to_path_buf()));
            }
            std::fs::create_dir_all(path).map_err(Error::io(path))?;
            self.folders.push(path.to_path_buf());
        }
        Ok(())
    }

    /// Takes note of a manifest that was written.
    pub(crate) fn manifest(&mut self, path: PathBuf) {
        self.manifest = Some(path);
    }

    /// Removes the folders that are empty, and the manifest with them if it is `worthless`.
    pub(crate) fn discard(self, worthless: bool) {
        // The error that led here is what the user must see, not one of cleaning up.
        if let Some(manifest) = self.manifest.filter(|_| worthless) {
            drop(std::fs::remove_file(manifest));
        }
        for folder in self.folders.iter().rev() {
            drop(std::fs::remove_dir(folder));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Any = BTreeMap<String, Value>;

    fn manifest(text: &str) -> Any {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_first_field_that_differs_is_named() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("out");
        // Neither null nor a number this large is known to TOML, and 0.1 + 0.2 has no short form.
        let text = r#"{"a": null, "b": {"c": 18446744073709551615, "d": [0.30000000000000004, null]}}"#;
        assert!(open_with(&folder, "it.json", &manifest(text), "things", true).unwrap());
        assert!(!open_with(&folder, "it.json", &manifest(text), "things", true).unwrap());
        let err = open_with(&folder, "it.json", &manifest(text), "things", false).unwrap_err();
        assert!(matches!(err, Error::OutputExists(_)), "{err}");
        for (other, part) in [
            (text.replace("null, \"b\"", "1, \"b\""), "its `a` is null, now it is 1;"),
            (text.replace("615", "614"), "its `b.c` is 18446744073709551615, now it is 18446744073709551614;"),
            (text.replace("\"d\"", "\"e\""), "its `b.d` is [0.30000000000000004,null], now it is not set;"),
        ] {
            let message = open_with(&folder, "it.json", &manifest(&other), "things", true).unwrap_err().to_string();
            assert!(message.contains(part) && message.contains("it.json: belongs to another run"), "{message}");
        }
    }

    #[test]
    fn only_what_was_made_is_taken_back() {
        let place = tempfile::tempdir().unwrap();
        let (own, other) = (place.path().join("own"), place.path().join("other"));
        std::fs::create_dir(&other).unwrap();
        let prepare = || {
            let mut prepared = Prepared::default();
            for folder in [&own, &own.join("png"), &other] {
                prepared.folder(folder).unwrap();
            }
            std::fs::write(own.join("it.json"), "{}").unwrap();
            prepared.manifest(own.join("it.json"));
            prepared
        };
        prepare().discard(false);
        assert!(own.join("it.json").exists() && !own.join("png").exists() && other.exists());
        std::fs::remove_dir_all(&own).unwrap();
        prepare().discard(true);
        assert!(!own.exists() && other.exists());
    }
}
