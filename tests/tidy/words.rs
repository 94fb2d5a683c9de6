//! Words that have their place, and words that have none.

use super::source::{Source, line_of, words};
use super::{expect_none, rust_files};

/// Where a word may stand.
enum Place {
    Nowhere,
    NotBelow(&'static [&'static str]),
    NotBelowBut(&'static [&'static str], &'static [&'static str]),
    OnlyBelow(&'static [&'static str]),
}

use Place::{NotBelow, NotBelowBut, Nowhere, OnlyBelow};

/// A word in code and where it may stand.
const RULES: &[(&str, Place, &str)] = &[
    ("todo!", Nowhere, "what is not done is not in the tree"),
    ("unimplemented!", Nowhere, "what is not done is not in the tree"),
    ("dbg!", Nowhere, "a trace of debugging"),
    ("#[ignore", Nowhere, "a test that does not run is no test"),
    (
        "unsafe",
        OnlyBelow(&["src/ops/gemm.rs", "src/ops/filled.rs", "src/ops/device/"]),
        "foreign code is called from two places, and new memory written in a third",
    ),
    ("std::fs", NotBelow(&["src/"]), "the core crate does no IO"),
    ("std::io", NotBelow(&["src/"]), "the core crate does no IO"),
    ("std::env", NotBelowBut(&["src/"], &["src/ops/device/"]), "the core crate reads no environment"),
    ("std::process", NotBelow(&["src/"]), "the core crate starts and ends no process"),
    ("process::exit", NotBelow(&["baselines/src/"]), "`cli::main` alone decides the exit code, and returns it"),
    ("println!", OnlyBelow(&["build.rs", "examples/", "benches/", "baselines/benches/"]), "libraries do not print"),
    ("Dataset", NotBelow(&["baselines/src/train/", "baselines/src/run/job.rs"]), "training sees no masks"),
    ("read_mask", NotBelow(&["baselines/src/train/", "baselines/src/run/job.rs"]), "training sees no masks"),
];

/// The same for text that is partly string.
const TEXT_RULES: &[(&str, Place, &str)] =
    &[("feature = \"cuda\"", OnlyBelow(&["src/ops/device/"]), "devices differ in one folder only")];

fn misplaced(source: &Source) -> Vec<String> {
    let of = |text: &str, rules: &[(&str, Place, &str)]| -> Vec<String> {
        let path = &source.path;
        let is_below = |folders: &[&str]| folders.iter().any(|folder| path.starts_with(folder));
        let broken = rules.iter().filter(|(_, place, _)| match place {
            Nowhere => true,
            NotBelow(folders) => is_below(folders),
            NotBelowBut(folders, exceptions) => is_below(folders) && !is_below(exceptions),
            OnlyBelow(folders) => !is_below(folders),
        });
        broken
            .flat_map(|(word, _, reason)| words(text, word).map(move |at| (word, reason, at)))
            .map(|(word, reason, at)| format!("{path}:{}: `{word}` does not belong here: {reason}", line_of(text, at)))
            .collect()
    };
    [of(&source.code, RULES), of(&source.uncommented, TEXT_RULES)].concat()
}

#[test]
fn words_are_in_their_place() {
    expect_none(&rust_files().iter().flat_map(misplaced).collect::<Vec<_>>());
}

#[test]
fn misplaced_words_are_found() {
    let found = |path: &str, text: &str| misplaced(&Source::new(path, text)).len();
    for text in ["fn f() { todo!() }", "unimplemented!();", "dbg!(1);", "#[ignore]\n", "#[ignore = \"slow\"]\n"] {
        assert_eq!(found("tests/a.rs", text), 1, "{text}");
    }
    for text in ["unsafe { }", "use std::fs;", "#[cfg(feature = \"cuda\")]\n", "println!(\"\");"] {
        assert_eq!(found("src/a.rs", text), 1, "{text}");
    }
    assert_eq!(found("src/ops/device/a.rs", "#[cfg(feature = \"cuda\")]\nstd::env::var(x);\nunsafe { }"), 0);
    assert_eq!(found("src/a.rs", "#![deny(unsafe_code)] // unsafe\nlet x = \"dbg!(1)\";"), 0);
    assert_eq!(found("baselines/src/train/a.rs", "use crate::data::Dataset;"), 1);
}
