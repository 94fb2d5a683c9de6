//! Code in the README and in the guides is code that is run.

use super::{expect_none, read};

/// Texts and the examples their code is of.
const SHOWN: [(&str, &str); 3] = [
    ("README.md", "examples/quickstart.rs"),
    ("docs/plug-in.md", "examples/your_own_regularizer.rs"),
    ("docs/wrap-your-network.md", "examples/wrap_your_network.rs"),
];

// Lines of Rust blocks that the example has not, or not in this order. Indentation is free.
fn strangers(path: &str, text: &str, example: &str) -> Vec<String> {
    let mut shown = Vec::new();
    let mut inside = false;
    for line in text.lines().map(str::trim) {
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
    missing.map(|line| format!("{path}: not in the example, or not there: `{line}`")).collect()
}

fn advance<'a>(rest: &mut impl Iterator<Item = &'a str>, line: &str) -> bool {
    rest.any(|known| known == line)
}

// Lines of the first Rust block.
fn first_block(text: &str) -> usize {
    let block = text.lines().skip_while(|line| *line != "```rust").skip(1);
    block.take_while(|line| *line != "```").count()
}

#[test]
fn texts_show_their_examples() {
    for (path, example) in SHOWN {
        let text = read(path);
        assert!(text.contains("```rust"), "{path} shows no code");
        assert!(text.contains(example), "{path} does not say where its code is");
        expect_none(&strangers(path, &text, &read(example)));
    }
}

#[test]
fn the_regularizer_of_the_guide_is_as_short_as_it_says() {
    let guide = read("docs/plug-in.md");
    assert!(guide.starts_with("# Build your own regularizer in 60 lines\n"));
    assert!(first_block(&guide) <= 60, "{} lines", first_block(&guide));
}

#[test]
fn code_that_is_not_run_is_found() {
    let example = "fn main() {\n    let a = 1;\n    let b = 2;\n}\n";
    let strangers = |text: &str| strangers("a.md", text, example).len();
    assert_eq!(strangers("```rust\nlet a = 1;\n\nlet b = 2;\n```\nlet c = 3;\n"), 0);
    assert_eq!(strangers("```rust\nlet c = 3;\nlet b = 2;\n```\n"), 1);
    assert_eq!(strangers("```rust\nlet b = 2;\nlet a = 1;\n```\n"), 1);
    assert_eq!(first_block("a\n```rust\nlet a = 1;\n\nlet b = 2;\n```\n```rust\n```\n"), 3);
}
