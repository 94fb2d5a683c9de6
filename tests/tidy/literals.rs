//! Numbers of one data set have no place in the core crate: they come from configuration or from shapes.

use super::source::{Source, line_of};
use super::{expect_none, rust_files};

/// Class counts of PASCAL VOC and COCO, without and with background.
const CLASS_COUNTS: [&str; 4] = ["20", "21", "80", "81"];

/// Feature widths and grids of the papers' networks. Operations may block their loops by such numbers; losses may not
/// know them.
const WIDTHS_AND_GRIDS: [&str; 10] = ["16", "56", "64", "128", "192", "256", "512", "1024", "2048", "4096"];

/// Files that may have them, and why.
const ALLOWED: &[(&str, &str)] = &[];

fn telling_numbers(source: &Source) -> Vec<String> {
    let Source { path, product, .. } = source;
    let is_configuration = path.ends_with("/config.rs");
    if !path.starts_with("src/") || is_configuration || ALLOWED.iter().any(|(allowed, _)| allowed == path) {
        return Vec::new();
    }
    let is_operation = path.starts_with("src/ops/");
    let complaint = |(at, number): (usize, &str)| {
        let what = if CLASS_COUNTS.contains(&number) {
            "a class count"
        } else if WIDTHS_AND_GRIDS.contains(&number) && !is_operation {
            "a feature width or a grid"
        } else {
            return None;
        };
        Some(format!("{path}:{}: `{number}` looks like {what}", line_of(product, at)))
    };
    integers(product).into_iter().filter_map(complaint).collect()
}

// Integer literals without their type, but for those a shift is by.
fn integers(code: &str) -> Vec<(usize, &str)> {
    let bytes = code.as_bytes();
    let is_name = |at: usize| bytes[at].is_ascii_alphanumeric() || bytes[at] == b'_';
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        if !bytes[at].is_ascii_digit() || (at > 0 && is_name(at - 1)) {
            at += 1;
            continue;
        }
        let start = at;
        let mut is_float = false;
        while at < bytes.len() && (is_name(at) || continues_float(bytes, at)) {
            is_float |= !is_name(at);
            at += 1;
        }
        let is_field = start > 0 && bytes[start - 1] == b'.' && !code[..start].ends_with("..");
        if !is_float && !is_field && !code[..start].trim_end().ends_with("<<") {
            let digits = &code[start..at];
            found.push((start, digits.split(['u', 'i', 'f']).next().unwrap_or(digits)));
        }
    }
    found
}

// The point of `1.5`, not of `0..5`; the sign of `1e-5`.
fn continues_float(bytes: &[u8], at: usize) -> bool {
    let next_is_digit = bytes.get(at + 1).is_some_and(u8::is_ascii_digit);
    match bytes[at] {
        b'.' => next_is_digit,
        b'-' | b'+' => next_is_digit && matches!(bytes[at - 1], b'e' | b'E'),
        _ => false,
    }
}

#[test]
fn the_core_crate_knows_no_class_count_width_or_grid() {
    expect_none(&rust_files().iter().flat_map(telling_numbers).collect::<Vec<_>>());
}

#[test]
fn every_exception_is_still_there() {
    let files = rust_files();
    for (path, reason) in ALLOWED {
        assert!(files.iter().any(|file| &file.path == path), "{path}: no such file, allowed because {reason}");
    }
}

#[test]
fn telling_numbers_are_found() {
    let found = |text: &str| telling_numbers(&Source::new("src/a.rs", text)).len();
    for text in ["let n = 21;", "[0; 20]", "0..80", "x == 81usize", "f(20u32)"] {
        assert_eq!(found(text), 1, "{text}");
    }
    for text in ["Tensor::zeros((n, 4096), d)", "grid: (16, 3)", "let dim = 128usize;"] {
        assert_eq!(found(text), 1, "{text}");
        assert_eq!(telling_numbers(&Source::new("src/ops/a.rs", text)).len(), 0, "{text}");
    }
    for text in ["let x = 20.0;", "1e-20", "1 << 20", "a.20", "b21", "0.20", "120", "// 21\n", "\"21\"", "2021"] {
        assert_eq!(found(text), 0, "{text}");
    }
    assert_eq!(telling_numbers(&Source::new("src/a/config.rs", "21")).len(), 0);
    assert_eq!(telling_numbers(&Source::new("baselines/src/a.rs", "21")).len(), 0);
}
