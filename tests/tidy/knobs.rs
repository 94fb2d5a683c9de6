//! The table of knobs in docs/embedded-data.md has the generator's fields and their defaults.

use super::read;
use super::source::block_end;

const CONFIG: &str = "baselines/src/synth/config.rs";
const TABLE: &str = "docs/embedded-data.md";

// `name: value,` of the `Default` of a configuration.
fn defaults(code: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = code.split_once("impl Default for SynthConfig") else { return Vec::new() };
    let fields = rest[..block_end(rest, 0)].lines().filter_map(|line| line.trim().strip_suffix(',')?.split_once(": "));
    fields.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

// Rows whose first cell is one name in backticks, below the heading.
fn documented(text: &str) -> Vec<(String, String)> {
    let rows = text.split("## Knobs").nth(1).unwrap_or_default().lines();
    let cells = rows.map(|row| row.split('|').map(str::trim).collect::<Vec<_>>());
    let knob = |cells: Vec<&str>| match cells.as_slice() {
        ["", name, value, ..] => Some((name.strip_prefix('`')?.strip_suffix('`')?.to_string(), (*value).to_string())),
        _ => None,
    };
    cells.filter_map(knob).collect()
}

#[test]
fn the_table_has_every_knob_and_its_default() {
    assert_eq!(documented(&read(TABLE)), defaults(&read(CONFIG)), "{TABLE} and {CONFIG}");
}

#[test]
fn knobs_and_defaults_are_read() {
    let code = "impl Default for SynthConfig {\n  fn default() -> Self {\n    Self {\n      size: [80, 112],\n      light: 0.2,\n    }\n  }\n}\n";
    let table = "## Knobs\n\n| key | default | what |\n|---|---|---|\n| `size` | [80, 112] | sides |\n| `light` | 0.3 | light |\n";
    let pair = |name: &str, value: &str| (name.to_string(), value.to_string());
    assert_eq!(defaults(code), [pair("size", "[80, 112]"), pair("light", "0.2")]);
    assert_eq!(documented(table), [pair("size", "[80, 112]"), pair("light", "0.3")]);
}
