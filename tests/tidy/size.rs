//! Files and functions short enough to be read.

use super::source::{Source, block_end, line_of, words};
use super::{expect_none, rust_files};

const FILE_CAP: usize = 400;
/// Lines between the braces.
const FUNCTION_CAP: usize = 60;

fn too_long(source: &Source) -> Vec<String> {
    let Source { path, code, .. } = source;
    let mut complaints = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_CAP {
        complaints.push(format!("{path}: {lines} lines, at most {FILE_CAP}"));
    }
    for (at, name, lines) in functions(code) {
        if lines > FUNCTION_CAP {
            let line = line_of(code, at);
            complaints.push(format!("{path}:{line}: function `{name}` has {lines} lines, at most {FUNCTION_CAP}"));
        }
    }
    complaints
}

// Place, name and lines of the body of every function that has one.
fn functions(code: &str) -> Vec<(usize, &str, usize)> {
    let mut found = Vec::new();
    for at in words(code, "fn") {
        let name = code[at + 2..].trim_start();
        let len = name.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(name.len());
        // The type of a function pointer has no name.
        if let (1.., Some(open)) = (len, body(code, at)) {
            let end = block_end(code, open);
            let lines = line_of(code, end) - line_of(code, open);
            found.push((at, &name[..len], lines.saturating_sub(1)));
        }
    }
    found
}

// Place of the body's `{`; none for a declaration.
fn body(code: &str, at: usize) -> Option<usize> {
    let mut depth = 0;
    for (offset, c) in code[at..].char_indices() {
        match c {
            '(' | '[' => depth += 1,
            ')' | ']' => depth -= 1,
            '{' if depth == 0 => return Some(at + offset),
            ';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[test]
fn files_and_functions_are_short() {
    expect_none(&rust_files().iter().flat_map(too_long).collect::<Vec<_>>());
}

#[test]
fn a_long_file_and_a_long_function_are_found() {
    let body = "    let x = 1;\n".repeat(FUNCTION_CAP);
    let trait_function = "fn only_declared(x: [u8; 3]);\n";
    let fits = format!("{trait_function}fn f(y: fn(u8) -> u8) -> u8 {{\n{body}}}\n");
    assert_eq!(functions(&fits), [(trait_function.len(), "f", FUNCTION_CAP)]);
    expect_none(&too_long(&Source::new("src/a.rs", &fits)));
    let long = format!("fn f() {{\n    {{ }}\n{body}}}\n");
    assert_eq!(too_long(&Source::new("src/a.rs", &long)), ["src/a.rs:1: function `f` has 61 lines, at most 60"]);
    let file = "// nothing\n".repeat(FILE_CAP + 1);
    assert_eq!(too_long(&Source::new("src/a.rs", &file)), ["src/a.rs: 401 lines, at most 400"]);
}
