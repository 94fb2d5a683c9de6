//! What a compiler does not check and a reader relies on: layers, sizes, words, links, and the commands of the README.
//!
//! Every check is a function of text that returns complaints, so that a test can hand it something bad and see it fail.

mod commands;
mod headers;
mod knobs;
mod layers;
mod links;
mod literals;
mod reads;
mod size;
mod snippets;
mod source;
mod words;

use std::path::{Path, PathBuf};

/// The workspace.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A file of the workspace, by its path from there.
fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|err| panic!("{path}: {err}"))
}

/// Paths of all files below a folder whose name ends like this, from the workspace on, with `/`, sorted.
fn files_below(folder: &str, ending: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).unwrap_or_else(|err| panic!("{}: {err}", folder.display()));
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(from_root(&path));
            }
        }
    }
    found.sort();
    found
}

fn from_root(path: &Path) -> String {
    let path = path.strip_prefix(root()).expect("a path of the workspace");
    path.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The Rust files of both crates.
fn rust_files() -> Vec<source::Source> {
    let folders = ["src", "tests", "benches", "examples", "baselines"];
    let paths = folders.iter().filter(|folder| root().join(folder).is_dir()).flat_map(|f| files_below(f, ".rs"));
    paths.map(|path| source::Source::new(&path, &read(&path))).collect()
}

/// All text for people: Markdown at the root, in `docs` and beside the code.
fn markdown_files() -> Vec<String> {
    let at_root = std::fs::read_dir(root()).expect("a readable folder");
    let mut paths: Vec<String> = at_root
        .map(|entry| from_root(&entry.expect("a readable folder").path()))
        .filter(|name| name.ends_with(".md"))
        .chain(["docs", "src", "tests", "baselines"].iter().flat_map(|folder| files_below(folder, ".md")))
        .collect();
    paths.sort();
    paths
}

/// Fails with all complaints at once.
fn expect_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}
