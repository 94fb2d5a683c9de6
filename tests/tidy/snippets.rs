//! Code in the README is code that is run.

use super::{expect_none, read};

// Lines of Rust blocks that the example has not, or not in this order. Indentation is free.
fn strangers(readme: &str, example: &str) -> Vec<String> {
    let mut shown = Vec::new();
    let mut inside = false;
    for line in readme.lines().map(str::trim) {
        match line {
            "```rust" => inside = true,
            "```" => inside = false,
            "" => {}
            line if inside => shown.push(line),
            _ => {}
        }
    }
    let mut rest = example.lines().map(str::trim);
    let missing =
        shown.into_iter().filter(|line| !rest.clone().any(|known| known == *line) || !advance(&mut rest, line));
    missing.map(|line| format!("README.md: not in the example, or not there: `{line}`")).collect()
}

fn advance<'a>(rest: &mut impl Iterator<Item = &'a str>, line: &str) -> bool {
    rest.any(|known| known == line)
}

#[test]
fn the_readme_shows_the_example() {
    let readme = read("README.md");
    assert!(readme.contains("```rust"), "README.md shows no code");
    expect_none(&strangers(&readme, &read("examples/quickstart.rs")));
}

#[test]
fn code_that_is_not_run_is_found() {
    let example = "fn main() {\n    let a = 1;\n    let b = 2;\n}\n";
    assert_eq!(strangers("```rust\nlet a = 1;\n\nlet b = 2;\n```\nlet c = 3;\n", example).len(), 0);
    assert_eq!(strangers("```rust\nlet c = 3;\nlet b = 2;\n```\n", example).len(), 1);
    assert_eq!(strangers("```rust\nlet b = 2;\nlet a = 1;\n```\n", example).len(), 1);
}
