//! Run folders: made once, never written over, and gone again when nothing came of the run.

use std::path::Path;

use crate::config::RunConfig;
use crate::data::write_atomic;
use crate::error::{Error, Result};

/// File name of the resolved configuration in a run's folder.
pub const CONFIG_FILE: &str = "config.toml";
/// File name of the page in a run's folder.
pub const REPORT_FILE: &str = "report.html";

/// Makes a folder for a run. An existing one is refused unless it is empty.
///
/// # Errors
/// [`Error::OutputExists`], or when it cannot be made.
pub fn create_folder(path: &Path) -> Result<()> {
    if path.exists() && !is_empty_folder(path)? {
        return Err(Error::OutputExists(path.to_path_buf()));
    }
    std::fs::create_dir_all(path).map_err(Error::io(path))
}

/// As [`create_folder`]; with `resume`, a folder that has `marker` in it is taken as it is.
///
/// # Errors
/// [`Error::OutputExists`] when the folder holds anything else, or when it cannot be made.
pub fn open_folder(path: &Path, resume: bool, marker: &str) -> Result<()> {
    if resume && path.join(marker).exists() { Ok(()) } else { create_folder(path) }
}

/// Writes the configuration of a run into its folder, or checks that the run taken up there has the same.
///
/// # Errors
/// Naming the first field that differs; nothing is written then.
pub fn settle_config(folder: &Path, config: &RunConfig, resume: bool) -> Result<()> {
    let path = folder.join(CONFIG_FILE);
    if resume && path.exists() {
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        return expect_same_config(&path, &text, config);
    }
    let text = config.to_toml()?;
    write_atomic(&path, |out| out.write_all(text.as_bytes()))
}

/// Fails unless the configuration that `path` holds is `config`.
pub(crate) fn expect_same_config(path: &Path, text: &str, config: &RunConfig) -> Result<()> {
    let saved = RunConfig::from_toml(text, &path.display().to_string(), &[])?;
    match saved.differences(config)?.into_iter().next() {
        None => Ok(()),
        Some((field, before, now)) => Err(another_run(path, &format!("config field `{field}`"), &before, &now)),
    }
}

/// The refusal to go on with something else.
pub(crate) fn another_run(path: &Path, what: &str, before: &str, now: &str) -> Error {
    Error::Config(format!(
        "{}: belongs to another run, its {what} is {before}, now it is {now}; resume with the same, or choose another output",
        path.display()
    ))
}

/// Removes a run's folder when there is nothing in it but the configuration and what `worthless` names: a run that
/// failed before it had anything to keep. Says whether the folder is gone.
pub(crate) fn discard_unstarted(folder: &Path, worthless: &[&str]) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return !folder.exists() };
    let is_worthless = |name: &std::ffi::OsStr| name == CONFIG_FILE || worthless.iter().any(|other| name == *other);
    // The error that led here is what the user must see, not one of cleaning up.
    entries.flatten().all(|entry| is_worthless(&entry.file_name())) && std::fs::remove_dir_all(folder).is_ok()
}

fn is_empty_folder(path: &Path) -> Result<bool> {
    if !path.is_dir() {
        return Ok(false);
    }
    Ok(std::fs::read_dir(path).map_err(Error::io(path))?.next().is_none())
}
