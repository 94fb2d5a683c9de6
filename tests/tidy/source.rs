//! A source file without its comments, its strings, its tests.

/// A Rust file. The readings without something have spaces in its place, so lines and columns stay.
pub(super) struct Source {
    /// From the workspace on, with `/`.
    pub(super) path: String,
    /// As it is.
    pub(super) text: String,
    /// Without comments.
    pub(super) uncommented: String,
    /// Without comments, and strings empty.
    pub(super) code: String,
    /// The same without modules and functions under `#[cfg(test)]`.
    pub(super) product: String,
}

impl Source {
    pub(super) fn new(path: &str, text: &str) -> Self {
        let code = strip(text, false);
        Self {
            path: path.to_string(),
            text: text.to_string(),
            uncommented: strip(text, true),
            product: without_tests(&code),
            code,
        }
    }
}

/// Line of a byte, from 1.
pub(super) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Places of a word: no letter, digit or underscore on either side of it.
pub(super) fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let starts = word.starts_with(is_name) && text[..at].ends_with(is_name);
        let ends = word.ends_with(is_name) && text[at + word.len()..].starts_with(is_name);
        !starts && !ends
    })
}

/// End of the block that starts with the `{` at a byte, after its `}`.
pub(super) fn block_end(code: &str, open: usize) -> usize {
    let mut depth = 0;
    for (at, c) in code[open..].char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return open + at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

fn without_tests(code: &str) -> String {
    let mut product = code.to_string();
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at..];
        let (Some(open), semicolon) = (rest.find('{'), rest.find(';')) else { continue };
        let end = match semicolon {
            Some(semicolon) if semicolon < open => at + semicolon,
            _ => block_end(code, at + open),
        };
        let blank: String = code[at..end].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        // Code is ASCII but for strings, which are empty by now; lengths are kept all the same.
        if blank.len() == end - at {
            product.replace_range(at..end, &blank);
        }
    }
    product
}

fn strip(text: &str, keep_strings: bool) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut stripped = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let (end, keep) = piece(&chars, at, keep_strings);
        stripped.extend(chars[at..end].iter().map(|c| if keep || *c == '\n' { *c } else { ' ' }));
        at = end;
    }
    stripped
}

// End of the comment, string or other character that starts here, and whether it stays.
fn piece(chars: &[char], at: usize, keep_strings: bool) -> (usize, bool) {
    let next = |offset: usize| chars.get(at + offset).copied().unwrap_or('\0');
    match (chars[at], next(1)) {
        ('/', '/') => (find(chars, at, &['\n']), false),
        ('/', '*') => (nested_comment_end(chars, at), false),
        ('"', _) => (string_end(chars, at + 1), keep_strings),
        ('r', '"' | '#') if !is_in_name(chars, at) => match raw_string_end(chars, at) {
            Some(end) => (end, keep_strings),
            None => (at + 1, true),
        },
        // A character, not a lifetime.
        ('\'', '\\') => (find(chars, at + 3, &['\'']) + 1, keep_strings),
        ('\'', _) if next(2) == '\'' => (at + 3, keep_strings),
        _ => (at + 1, true),
    }
}

fn is_in_name(chars: &[char], at: usize) -> bool {
    let is_name = |i: usize| chars[i].is_alphanumeric() || chars[i] == '_';
    let bytes_prefix = at > 0 && chars[at - 1] == 'b' && (at == 1 || !is_name(at - 2));
    at > 0 && is_name(at - 1) && !bytes_prefix
}

// Place of the next such text, or the end.
fn find(chars: &[char], from: usize, wanted: &[char]) -> usize {
    (from..chars.len()).find(|&i| chars[i..].starts_with(wanted)).unwrap_or(chars.len())
}

fn nested_comment_end(chars: &[char], at: usize) -> usize {
    let mut depth = 0;
    let mut i = at;
    while i < chars.len() {
        if chars[i..].starts_with(&['/', '*']) {
            depth += 1;
            i += 2;
        } else if chars[i..].starts_with(&['*', '/']) {
            depth -= 1;
            i += 2;
            if depth == 0 {
                return i;
            }
        } else {
            i += 1;
        }
    }
    chars.len()
}

fn string_end(chars: &[char], mut at: usize) -> usize {
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

fn raw_string_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(at + 1 + hashes) != Some(&'"') {
        return None;
    }
    let mut closing = vec!['"'];
    closing.resize(1 + hashes, '#');
    Some((find(chars, at + 2 + hashes, &closing) + closing.len()).min(chars.len()))
}

#[test]
fn comments_strings_and_tests_are_taken_out() {
    let text = "let a = \"x // y\"; // unsafe\n/* a /* b */ c */ let b: &'static str = r#\"20 \" \"#; let c = '\"';\n\
                #[cfg(test)]\nmod tests { fn f() { 20 } }\nlet d = '\\'';";
    let source = Source::new("src/a.rs", text);
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(
        words(&source.uncommented),
        "let a = \"x // y\"; let b: &'static str = r#\"20 \" \"#; let c = '\"'; #[cfg(test)] mod tests { fn f() { 20 } } \
         let d = '\\'';"
    );
    assert_eq!(
        words(&source.code),
        "let a = ; let b: &'static str = ; let c = ; #[cfg(test)] mod tests { fn f() { 20 } } let d = ;"
    );
    assert_eq!(words(&source.product), "let a = ; let b: &'static str = ; let c = ; let d = ;");
    assert_eq!(source.product.lines().count(), text.lines().count());
}

#[test]
fn words_stand_alone() {
    assert_eq!(words("unsafe_code unsafe { } not_unsafe", "unsafe").collect::<Vec<_>>(), [12]);
    assert_eq!(words("todo!() my_todo!()", "todo!").collect::<Vec<_>>(), [0]);
}
