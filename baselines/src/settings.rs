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
        let (settings, err) = culprits::<T>(&base, every, err);
        let named: Vec<String> = settings.iter().map(|setting| format!("--set {setting}")).collect();
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

/// A table with another merged over it; `path` is where the other one stands, for the messages.
///
/// Tables merge key by key. One whose `type` differs replaces what was there, and so does a choice written as a table
/// of one key, as `target_view = { size = 64 }` over `{ factor = 0.3 }`.
///
/// # Errors
/// When a key is unknown or a value of the wrong kind, naming the key.
pub(crate) fn overlaid<T: DeserializeOwned>(base: &toml::Table, overlay: &toml::Table, path: &str) -> Result<T> {
    try_overlaid(base, overlay).map_err(|err| {
        let key = culprit::<T>(base, overlay, &err).join(".");
        candle_wsss::Error::config(format!("{path}.{key}"), one_line(&err)).into()
    })
}

fn try_overlaid<T: DeserializeOwned>(base: &toml::Table, overlay: &toml::Table) -> Result<T, toml::de::Error> {
    let with = |choices: &[Keys]| merged(base, overlay, &[], choices).try_into::<T>();
    // A choice cannot be told from a structure of one field by its looks, but two choices at once are refused.
    with(&[]).or_else(|err| {
        let mut choices = choices(base, overlay, &[]);
        with(&choices).map_err(|_| err)?;
        for index in (0..choices.len()).rev() {
            let mut fewer = choices.clone();
            fewer.remove(index);
            if with(&fewer).is_ok() {
                choices = fewer;
            }
        }
        with(&choices)
    })
}

type Keys = Vec<String>;

fn below(path: &[String], key: &str) -> Keys {
    path.iter().cloned().chain([key.to_string()]).collect()
}

fn merged(base: &toml::Table, overlay: &toml::Table, path: &[String], choices: &[Keys]) -> toml::Table {
    let mut table = base.clone();
    for (key, value) in overlay {
        let path = below(path, key);
        let value = match (base.get(key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over))
                if !is_another_kind(under, over) && !choices.contains(&path) =>
            {
                toml::Value::Table(merged(under, over, &path, choices))
            }
            _ => value.clone(),
        };
        table.insert(key.clone(), value);
    }
    table
}

fn is_another_kind(under: &toml::Table, over: &toml::Table) -> bool {
    over.get(KIND).zip(under.get(KIND)).is_some_and(|(over, under)| over != under)
}

/// The field that says which of several configurations a table is.
const KIND: &str = "type";

// Places where both tables have one key, and not the same.
fn choices(base: &toml::Table, overlay: &toml::Table, path: &[String]) -> Vec<Keys> {
    let mut found = Vec::new();
    for (key, value) in overlay {
        let (Some(toml::Value::Table(under)), toml::Value::Table(over)) = (base.get(key), value) else { continue };
        let path = below(path, key);
        if under.len() == 1 && over.len() == 1 && under.keys().ne(over.keys()) {
            found.push(path);
        } else if !is_another_kind(under, over) {
            found.extend(choices(under, over, &path));
        }
    }
    found
}

// The last of those keys without which the failure is another one.
fn culprit<T: DeserializeOwned>(base: &toml::Table, overlay: &toml::Table, err: &toml::de::Error) -> Keys {
    let mut leaves = leaves(overlay, &[]);
    for index in (0..leaves.len()).rev() {
        let mut fewer = leaves.clone();
        fewer.remove(index);
        let failure = try_overlaid::<T>(base, &planted(&fewer)).err();
        if failure.is_some_and(|other| other.to_string() == err.to_string()) {
            leaves = fewer;
        }
    }
    let is_kind = |(path, _): &&(Keys, toml::Value)| path.last().is_some_and(|key| key == KIND);
    let named = leaves.iter().rfind(|leaf| !is_kind(leaf)).or(leaves.last());
    named.map(|(path, _)| path.clone()).unwrap_or_default()
}

fn leaves(table: &toml::Table, path: &[String]) -> Vec<(Keys, toml::Value)> {
    let of = |(key, value): (&String, &toml::Value)| match value {
        toml::Value::Table(inner) if !inner.is_empty() => leaves(inner, &below(path, key)),
        value => vec![(below(path, key), value.clone())],
    };
    table.iter().flat_map(of).collect()
}

fn planted(leaves: &[(Keys, toml::Value)]) -> toml::Table {
    let mut table = toml::Table::new();
    for (path, value) in leaves {
        let mut at = &mut table;
        for (depth, key) in path.iter().enumerate() {
            let own = if depth + 1 == path.len() { value.clone() } else { toml::Value::Table(toml::Table::new()) };
            let toml::Value::Table(inner) = at.entry(key.clone()).or_insert(own) else { break };
            at = inner;
        }
    }
    table
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

// As few of the settings as still fail, and how they do: the rest has nothing to do with it.
fn culprits<'a, T: DeserializeOwned>(
    base: &toml::Table,
    mut settings: Vec<&'a String>,
    mut err: toml::de::Error,
) -> (Vec<&'a String>, toml::de::Error) {
    for index in (0..settings.len()).rev() {
        let mut fewer = settings.clone();
        fewer.remove(index);
        if let Ok(Err(other)) = put_on_top(base, &fewer).map(toml::Table::try_into::<T>) {
            (settings, err) = (fewer, other);
        }
    }
    (settings, err)
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
        other => Err(format!("`{head}` is {other}, not a table")),
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
