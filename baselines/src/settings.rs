//! `key.path=value` settings on top of a configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Parses TOML text with settings on top; `origin` is for the messages.
///
/// # Errors
/// When a key is unknown or a value of the wrong kind.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, origin: &str, settings: &[String]) -> Result<T> {
    // Parsed once straight from the text, so that a mistake in it is reported with its line.
    let parsed: T = toml::from_str(text).map_err(|err| Error::Config(format!("{origin}: {err}")))?;
    if settings.is_empty() {
        return Ok(parsed);
    }
    let mut table: toml::Table = toml::from_str(text).map_err(|err| Error::Config(format!("{origin}: {err}")))?;
    for setting in settings {
        apply(&mut table, setting)?;
    }
    table.try_into().map_err(|err: toml::de::Error| {
        Error::Config(format!("{origin} with --set {}: {}", settings.join(" --set "), err.to_string().trim()))
    })
}

/// Puts settings on top of a value that has defaults.
///
/// # Errors
/// As [`parse`].
pub(crate) fn on_top<T: DeserializeOwned + Serialize>(base: &T, origin: &str, settings: &[String]) -> Result<T> {
    let text = toml::to_string(base).map_err(|err| Error::Config(format!("{origin}: {err}")))?;
    parse(&text, origin, settings)
}

fn apply(table: &mut toml::Table, setting: &str) -> Result<()> {
    let Some((path, value)) = setting.split_once('=') else {
        return Err(Error::Config(format!("--set {setting}: expected key.path=value")));
    };
    // A bare word is a string; anything TOML understands is what TOML says.
    let value = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_string()));
    set(table, path.trim(), value).map_err(|reason| Error::Config(format!("--set {setting}: {reason}")))
}

fn set(table: &mut toml::Table, path: &str, value: toml::Value) -> Result<(), String> {
    let Some((head, rest)) = path.split_once('.') else {
        table.insert(path.to_string(), value);
        return Ok(());
    };
    match table.entry(head).or_insert_with(|| toml::Value::Table(toml::Table::new())) {
        toml::Value::Table(inner) => set(inner, rest, value),
        other => Err(format!("`{head}` is a {}, not a table", other.type_str())),
    }
}
