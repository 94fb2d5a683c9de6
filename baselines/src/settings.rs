//! `key.path=value` settings on top of a configuration.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};

/// Parses TOML text with settings on top; `origin` is for the messages.
///
/// # Errors
/// When a key is unknown or a value of the wrong kind, naming the line or the setting.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, origin: &str, settings: &[String]) -> Result<T> {
    // Parsed once straight from the text, so that a mistake in it is reported with its line.
    let parsed: T = toml::from_str(text).map_err(|err| Error::Config(format!("{origin}{}", with_line(text, &err))))?;
    if settings.is_empty() {
        return Ok(parsed);
    }
    let base: toml::Table =
        toml::from_str(text).map_err(|err| Error::Config(format!("{origin}{}", with_line(text, &err))))?;
    let every: Vec<&String> = settings.iter().collect();
    put_on_top(&base, &every)?.try_into().map_err(|err: toml::de::Error| {
        let culprit = culprit::<T>(&base, &every);
        let named: Vec<String> = culprit.iter().map(|setting| format!("--set {setting}")).collect();
        Error::Config(format!("{}: {}", named.join(" "), one_line(&err)))
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

/// Paths at which two tables differ, the values in `first` and `second` with them.
pub(crate) fn differences(first: &toml::Table, second: &toml::Table) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    compare("", first, second, &mut found);
    found
}

fn compare(path: &str, first: &toml::Table, second: &toml::Table, found: &mut Vec<(String, String, String)>) {
    let mut keys: Vec<&String> = first.keys().chain(second.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (first.get(key), second.get(key)) {
            (Some(toml::Value::Table(first)), Some(toml::Value::Table(second))) => compare(&path, first, second, found),
            (one, other) if one == other => {}
            (one, other) => {
                let shown = |value: Option<&toml::Value>| value.map_or("not set".to_string(), ToString::to_string);
                found.push((path, shown(one), shown(other)));
            }
        }
    }
}

// The one setting without which all would be well; all of them when there is no such.
fn culprit<'a, T: DeserializeOwned>(base: &toml::Table, settings: &[&'a String]) -> Vec<&'a String> {
    let is_well_without = |index: &usize| {
        let others: Vec<&String> =
            settings.iter().enumerate().filter(|(other, _)| other != index).map(|(_, setting)| *setting).collect();
        put_on_top(base, &others).is_ok_and(|table| table.try_into::<T>().is_ok())
    };
    match (0..settings.len()).find(is_well_without) {
        Some(index) => vec![settings[index]],
        None => settings.to_vec(),
    }
}

fn put_on_top(base: &toml::Table, settings: &[&String]) -> Result<toml::Table> {
    let mut table = base.clone();
    for setting in settings {
        apply(&mut table, setting)?;
    }
    Ok(table)
}

fn apply(table: &mut toml::Table, setting: &str) -> Result<()> {
    let Some((path, value)) = setting.split_once('=') else {
        return Err(Error::Config(format!("--set {setting}: expected key.path=value")));
    };
    let path = path.trim();
    if path.split('.').any(str::is_empty) {
        return Err(Error::Config(format!("--set {setting}: expected key.path=value, `{path}` has an empty key")));
    }
    set(table, path, parse_value(value)).map_err(|reason| Error::Config(format!("--set {setting}: {reason}")))
}

// A bare word is a string; anything TOML understands is what TOML says.
fn parse_value(value: &str) -> toml::Value {
    toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        // A line break in the value would start another key.
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_string()))
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

// TOML's own message draws the line and a caret under it: too much for one line of an error.
fn with_line(text: &str, err: &toml::de::Error) -> String {
    let line = err.span().map(|span| text[..span.start.min(text.len())].matches('\n').count() + 1);
    let message = err.message().replace('\n', ", ");
    line.map_or_else(|| format!(": {message}"), |line| format!(", line {line}: {message}"))
}

fn one_line(err: &toml::de::Error) -> String {
    err.to_string().trim().replace('\n', ", ")
}
