//! Links and paths in the documentation lead somewhere.

use super::{expect_none, markdown_files, read, root};

/// Paths are looked for from here and from the file's own folder.
struct Text<'a> {
    path: &'a str,
    text: &'a str,
}

impl Text<'_> {
    // Links to files or headings that are not there.
    fn broken_links(&self) -> Vec<String> {
        let targets = self.text.match_indices("](").filter_map(|(at, _)| self.text[at + 2..].split(')').next());
        let local = targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:"));
        local.filter(|target| !self.leads_somewhere(target)).map(|target| self.complaint("link", target)).collect()
    }

    fn leads_somewhere(&self, target: &str) -> bool {
        let (file, heading) = target.split_once('#').unwrap_or((target, ""));
        let path = self.resolved(file);
        let has_heading = |text: &str| heading.is_empty() || headings(text).any(|known| known == heading);
        match file {
            "" => has_heading(self.text),
            _ if heading.is_empty() => root().join(path).exists(),
            _ => root().join(&path).is_file() && has_heading(&read(&path)),
        }
    }

    fn resolved(&self, file: &str) -> String {
        match self.path.rsplit_once('/') {
            Some((folder, _)) => format!("{folder}/{file}"),
            None => file.to_string(),
        }
    }

    // What looks like a path of the repository, in backticks, and is not there.
    fn broken_paths(&self) -> Vec<String> {
        let paths = code_spans(self.text).filter(|span| looks_like_a_path(span));
        let missing = paths.filter(|path| {
            let path = path.trim_end_matches('/');
            !root().join(path).exists() && !root().join(self.resolved(path)).exists()
        });
        missing.map(|path| self.complaint("path", path)).collect()
    }

    fn complaint(&self, what: &str, target: &str) -> String {
        format!("{}: {what} `{target}` leads nowhere", self.path)
    }
}

// Anchors as GitHub makes them.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let anchor = |heading: &str| {
        let kept = heading.trim().to_lowercase().replace(' ', "-");
        kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect::<String>()
    };
    text.lines().filter(|line| line.starts_with('#')).map(move |line| anchor(line.trim_start_matches('#')))
}

// Text between single backticks, outside of fenced blocks.
fn code_spans(text: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    let prose = text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    prose.flat_map(|line| line.split('`').skip(1).step_by(2))
}

fn looks_like_a_path(span: &str) -> bool {
    const ENDINGS: [&str; 4] = [".rs", ".md", ".toml", ".yml"];
    let plain = span.chars().all(|c| c.is_alphanumeric() || "/._-".contains(c));
    let Some((first, _)) = span.split_once('/') else {
        // A file at the root; `mod.rs` and `config.toml` name a kind of file.
        return plain && span.ends_with(".md");
    };
    plain && !first.is_empty() && (root().join(first).is_dir() || ENDINGS.iter().any(|ending| span.ends_with(ending)))
}

fn check(complaints: impl Fn(&Text<'_>) -> Vec<String>) {
    let all = markdown_files().into_iter().flat_map(|path| {
        let text = read(&path);
        complaints(&Text { path: &path, text: &text })
    });
    expect_none(&all.collect::<Vec<_>>());
}

#[test]
fn links_lead_somewhere() {
    check(|text| text.broken_links());
}

#[test]
fn paths_lead_somewhere() {
    check(|text| text.broken_paths());
}

#[test]
fn broken_links_are_found() {
    let links = |text: &str| Text { path: "docs/a.md", text }.broken_links().len();
    assert_eq!(links("## Two words, here\n[a](../README.md) [b](https://example.org/x) [c](#two-words-here)"), 0);
    assert_eq!(links("[a](README.md) [b](#no-such) [c](../README.md#no-such-heading-anywhere)"), 3);
}

#[test]
fn broken_paths_are_found() {
    let paths = |text: &str| Text { path: "docs/a.md", text }.broken_paths().len();
    assert_eq!(
        paths("`src/lib.rs`, `tests/fixtures/`, `../README.md`, `hsc/pixel`, `src/<name>/`\n```\n`src/no.rs`\n```"),
        0
    );
    assert_eq!(paths("`src/no.rs`, `tests/no/`, `nowhere/no.rs`, `NO.md`"), 4);
}
