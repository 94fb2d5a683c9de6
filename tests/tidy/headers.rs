//! Every file says what it is for; every method says what it asks for, remembers, and comes from.

use super::source::Source;
use super::{expect_none, rust_files};

fn missing(source: &Source) -> Vec<String> {
    let Source { path, text, .. } = source;
    let mut complaints = Vec::new();
    // A folder of tests says it once, for all of its files.
    let is_part_of_tests = path.split('/').any(|part| part == "tests") && !path.ends_with("/mod.rs");
    if !is_part_of_tests && !text.starts_with("//! ") {
        complaints.push(format!("{path}: must start with `//!` and what it is for"));
    }
    let is_method = path
        .strip_prefix("src/regularizer/")
        .and_then(|rest| rest.strip_suffix("/mod.rs"))
        .is_some_and(|name| !name.contains('/'));
    if is_method {
        for heading in ["# Terms", "# Memory", "# Parameters", "# Reference"] {
            if !text.lines().any(|line| line == format!("//! {heading}")) {
                complaints.push(format!("{path}: its documentation has no `{heading}`"));
            }
        }
    }
    complaints
}

#[test]
fn files_say_what_they_are_for() {
    expect_none(&rust_files().iter().flat_map(missing).collect::<Vec<_>>());
}

#[test]
fn a_silent_file_is_found() {
    assert_eq!(missing(&Source::new("src/a.rs", "use std::fmt;\n")).len(), 1);
    assert_eq!(missing(&Source::new("tests/a/mod.rs", "mod b;\n")).len(), 1);
    assert_eq!(missing(&Source::new("src/regularizer/x/mod.rs", "//! A method.\n//!\n//! # Terms\n")).len(), 3);
    assert_eq!(missing(&Source::new("src/regularizer/x/parts/mod.rs", "//! A part.\n")).len(), 0);
}
