//! Modules depend upwards in the code map of ARCHITECTURE.md only.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, line_of, words};
use super::{expect_none, files_below, read, root, rust_files};

/// Folder of each crate's code and the header of its table.
const CRATES: [(&str, &str); 2] =
    [("src/", "| core (`src/`) |"), ("baselines/src/", "| baselines (`baselines/src/`) |")];

/// Files that hold a crate together rather than being part of it.
const ROOTS: [&str; 2] = ["lib.rs", "main.rs"];

/// One crate: its modules from the lowest layer up, and where names at its root come from.
struct Layers {
    folder: &'static str,
    order: Vec<String>,
    reexports: BTreeMap<String, String>,
}

impl Layers {
    fn new(folder: &'static str, header: &str, architecture: &str, lib: &Source) -> Self {
        Self { folder, order: code_map(architecture, header), reexports: reexports(&lib.code) }
    }

    fn level(&self, module: &str) -> Option<usize> {
        self.order.iter().position(|known| known == module)
    }

    // `use` and paths that point down, of one file.
    fn downward(&self, source: &Source) -> Vec<String> {
        let Some(path) = source.path.strip_prefix(self.folder).filter(|path| !ROOTS.contains(path)) else {
            return Vec::new();
        };
        let module_path = module_path(path);
        let module = module_path[0];
        let Some(own) = self.level(module) else {
            return vec![format!("{}: `{module}` is not in the code map of ARCHITECTURE.md", source.path)];
        };
        let complain = |(at, target): (usize, String)| {
            let target = self.reexports.get(&target).unwrap_or(&target);
            let level = self.level(target)?;
            let line = line_of(&source.product, at);
            (level > own).then(|| format!("{}:{line}: `{module}` uses `{target}`, which is below it", source.path))
        };
        root_names(&source.product, module_path.len()).into_iter().filter_map(complain).collect()
    }
}

// `ops/resize/mod.rs` is `ops::resize`.
fn module_path(path: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = path.strip_suffix(".rs").unwrap_or(path).split('/').collect();
    if parts.len() > 1 && parts.last() == Some(&"mod") {
        parts.pop();
    }
    parts
}

// Modules in backticks in the first column, top row first.
fn code_map(architecture: &str, header: &str) -> Vec<String> {
    let rows = architecture.lines().skip_while(|line| !line.starts_with(header)).skip(2);
    rows.take_while(|line| line.starts_with('|'))
        .flat_map(|row| row.split('|').nth(1).unwrap_or_default().split('`').skip(1).step_by(2))
        .map(|name| name.trim_end_matches('/').to_string())
        .collect()
}

// Name at the root to the module it is from, out of `pub use module::{Name, ..};`.
fn reexports(lib: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (at, _) in lib.match_indices("pub use ") {
        let statement = lib[at + "pub use ".len()..].split(';').next().unwrap_or_default();
        if let Some((module, names)) = statement.split_once("::") {
            for name in names.split(['{', '}', ',']).map(str::trim).filter(|name| !name.is_empty()) {
                found.insert(name.to_string(), module.trim().to_string());
            }
        }
    }
    found
}

// Every first name below the crate's root that a file at some depth mentions.
fn root_names(code: &str, depth: usize) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for at in words(code, "crate") {
        first_names(code, at + "crate".len(), at, &mut found);
    }
    for at in words(code, "super") {
        // Only the first of a chain counts.
        if code[..at].trim_end().strip_suffix("::").is_some_and(|rest| rest.ends_with("super")) {
            continue;
        }
        let mut end = at + "super".len();
        let mut ups = 1;
        while let Some(rest) = code[end..].trim_start().strip_prefix("::").map(str::trim_start)
            && rest.starts_with("super")
        {
            end = code.len() - rest.len() + "super".len();
            ups += 1;
        }
        if ups >= depth {
            first_names(code, end, at, &mut found);
        }
    }
    found
}

// What follows: `::name` or `::{name, name::more, ..}`.
fn first_names(code: &str, end: usize, at: usize, found: &mut Vec<(usize, String)>) {
    let Some(rest) = code[end..].trim_start().strip_prefix("::").map(str::trim_start) else { return };
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let Some(group) = rest.strip_prefix('{') else {
        found.push((at, name(rest)));
        return;
    };
    let mut depth = 0;
    let mut start = 0;
    for (offset, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                found.push((at, name(&group[start..offset])));
                start = offset + 1;
                if c == '}' {
                    return;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
}

fn crates() -> Vec<Layers> {
    let architecture = read("ARCHITECTURE.md");
    let lib = |folder: &str| Source::new("lib.rs", &read(&format!("{folder}lib.rs")));
    CRATES.iter().map(|(folder, header)| Layers::new(folder, header, &architecture, &lib(folder))).collect()
}

#[test]
fn modules_depend_upwards_only() {
    let crates = crates();
    let files = rust_files();
    let downward = files.iter().flat_map(|file| crates.iter().flat_map(|layers| layers.downward(file)));
    expect_none(&downward.collect::<Vec<_>>());
}

#[test]
fn the_code_map_has_every_module_once() {
    for layers in crates() {
        let known: BTreeSet<&str> = layers.order.iter().map(String::as_str).collect();
        assert_eq!(known.len(), layers.order.len(), "{}: a module is twice in the code map", layers.folder);
        let paths = files_below(layers.folder, ".rs");
        let modules = paths.iter().map(|path| &path[layers.folder.len()..]).filter(|path| !ROOTS.contains(path));
        let modules: BTreeSet<&str> = modules.map(|path| module_path(path)[0]).collect();
        assert_eq!(known, modules, "{}: code map of ARCHITECTURE.md and modules", layers.folder);
        assert!(root().join(layers.folder).is_dir());
    }
}

#[test]
fn a_path_that_points_down_is_found() {
    let map = "text\n| core (`src/`) | what |\n|---|---|\n| `error`, `view` | a |\n| `ops/` | b |\n\n| `other` | c |\n";
    let lib = Source::new("lib.rs", "mod error;\npub use ops::{Kernel, relu};\npub use error::Error;\n");
    let layers = Layers::new(CRATES[0].0, CRATES[0].1, map, &lib);
    assert_eq!(layers.order, ["error", "view", "ops"]);
    let found = |path: &str, text: &str| layers.downward(&Source::new(path, text)).len();
    for text in [
        "use crate::ops::relu;",
        "use crate::{error::Error, ops};",
        "use crate::{\n    error::{Error, Result},\n    ops::relu,\n};",
        "fn f() { crate::ops::relu() }",
        "use crate::Kernel;",
        "use super::ops::relu;",
    ] {
        assert_eq!(found("src/view.rs", text), 1, "{text}");
        assert_eq!(found("src/ops/mod.rs", text), 0, "{text}");
    }
    assert_eq!(found("src/view/part.rs", "use super::super::ops::relu;"), 1);
    assert_eq!(found("src/view/part.rs", "use super::ops::relu;"), 0, "a child of its own");
    for text in
        ["use crate::error::Error;", "use crate::Error;", "// crate::ops", "#[cfg(test)]\nmod t { use crate::ops; }"]
    {
        assert_eq!(found("src/view.rs", text), 0, "{text}");
    }
    assert_eq!(found("src/error.rs", "use crate::view::View;"), 1, "the order within a row counts");
    assert_eq!(found("src/unknown.rs", ""), 1);
    assert_eq!(found("tests/a.rs", "use crate::ops;"), 0);
}
