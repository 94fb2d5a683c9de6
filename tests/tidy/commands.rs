//! Commands in the documentation exist.

use std::collections::BTreeMap;

use super::source::{Source, block_end};
use super::{expect_none, files_below, markdown_files, read, root};

/// What can be typed is declared in these folders.
const ARGS: &str = "baselines/src/cli/";

/// Flags of every verb, by verb; global ones under no name.
struct Program {
    flags: BTreeMap<String, Vec<String>>,
}

impl Program {
    // Reads clap's declarations.
    fn new(args: &str) -> Self {
        let args = Source::new(ARGS, args).uncommented;
        let mut flags = BTreeMap::from([(String::new(), flags_of(&body_of(&args, "struct", "Cli")))]);
        for (verb, arguments) in variants(&args, "Command") {
            // A verb with verbs of its own has the flags of all of them.
            let below: Vec<String> = variants(&args, &arguments).into_iter().map(|(_, own)| own).collect();
            let own = if below.is_empty() { vec![arguments] } else { below };
            flags.insert(verb, own.iter().flat_map(|name| all_flags(&args, name)).collect());
        }
        Self { flags }
    }

    fn of_this_tree() -> Self {
        Self::new(&files_below(ARGS, ".rs").iter().map(|path| read(path)).collect::<String>())
    }

    // What is wrong with the words after `wsss`.
    fn unknown(&self, words: &[&str]) -> Vec<String> {
        let verb = words.iter().find(|word| !word.starts_with('-'));
        let Some(own) = verb.and_then(|verb| self.flags.get(*verb)) else {
            // The program alone, for its help.
            return verb.map(|verb| format!("no verb `{verb}`")).into_iter().collect();
        };
        let global = &self.flags[""];
        let typed = words.iter().filter_map(|word| word.strip_prefix("--")).map(|w| w.split('=').next().unwrap_or(w));
        let known = |flag: &str| own.iter().chain(global).any(|known| known == flag) || flag == "help";
        typed.filter(|flag| !known(flag)).map(|flag| format!("`{}` has no --{flag}", verb.unwrap_or(&""))).collect()
    }
}

fn body_of(args: &str, kind: &str, name: &str) -> String {
    let Some((_, rest)) = args.split_once(&format!("pub {kind} {name} ")) else { return String::new() };
    rest[..block_end(rest, 0)].to_string()
}

// Name and arguments of every variant.
fn variants(args: &str, name: &str) -> Vec<(String, String)> {
    let body = body_of(args, "enum", name);
    let lines = body.lines().filter_map(|line| line.trim().strip_suffix("),")?.split_once('('));
    lines.map(|(verb, arguments)| (verb.to_lowercase(), arguments.to_string())).collect()
}

// Those of flattened structures as well.
fn all_flags(args: &str, name: &str) -> Vec<String> {
    let body = body_of(args, "struct", name);
    let mut all = flags_of(&body);
    for line in body.split("#[command(flatten)]").skip(1) {
        let kind = line.split(':').nth(1).and_then(|rest| rest.split(',').next()).unwrap_or_default();
        all.extend(all_flags(args, kind.trim()));
    }
    all
}

// `long` takes the name of the field, `long = "name"` its own.
fn flags_of(body: &str) -> Vec<String> {
    let mut found = Vec::new();
    for attribute in body.split("#[arg(").skip(1) {
        let Some((options, rest)) = attribute.split_once(")]") else { continue };
        let field = rest.split_once("pub ").and_then(|(_, rest)| rest.split(':').next()).unwrap_or_default();
        for option in options.split(',').map(str::trim) {
            if option == "long" {
                found.push(field.replace('_', "-"));
            } else if let Some(name) = option.strip_prefix("long = ") {
                found.push(name.trim_matches('"').to_string());
            }
        }
    }
    found
}

// Lines of fenced blocks, joined where they end in a backslash, and commands in backticks.
fn commands(text: &str) -> Vec<String> {
    let joined = text.replace("\\\n", " ");
    let mut found = Vec::new();
    let mut fenced = false;
    for line in joined.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced {
            found.push(line.trim().to_string());
        } else {
            found.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    found
}

fn complaints(path: &str, text: &str, program: &Program) -> Vec<String> {
    let mut complaints = Vec::new();
    for command in commands(text) {
        // What follows a hash or a pipe is not the command's.
        let own = command.split(['#', '|', '>', ';']).next().unwrap_or_default();
        let words: Vec<&str> = own.split_whitespace().collect();
        let after = |word: &str| words.iter().position(|w| *w == word).map(|at| &words[at + 1..]);
        let wrong = match words.as_slice() {
            ["wsss", rest @ ..] => program.unknown(rest),
            ["cargo", "run", ..] if words.contains(&"wsss") => program.unknown(after("--").unwrap_or_default()),
            ["cargo", ..] => missing_target(after("--example"), &["examples"])
                .or_else(|| missing_target(after("--bench"), &["benches", "baselines/benches"]))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        };
        complaints.extend(wrong.into_iter().map(|wrong| format!("{path}: `{command}`: {wrong}")));
    }
    complaints
}

fn missing_target(rest: Option<&[&str]>, folders: &[&str]) -> Option<String> {
    let name = rest?.first()?;
    // A file, or a folder with one called `main`.
    let files = [format!("{name}.rs"), format!("{name}/main.rs")];
    let exists = folders.iter().any(|folder| files.iter().any(|file| root().join(folder).join(file).is_file()));
    (!exists).then(|| format!("no `{name}` in {}", folders.join(" or ")))
}

#[test]
fn commands_in_the_documentation_exist() {
    let program = Program::of_this_tree();
    let all = markdown_files().into_iter().flat_map(|path| complaints(&path, &read(&path), &program));
    expect_none(&all.collect::<Vec<_>>());
}

#[test]
fn the_readme_shows_every_verb() {
    let program = Program::of_this_tree();
    let shown: Vec<String> = commands(&read("README.md"));
    for verb in program.flags.keys().filter(|verb| !verb.is_empty()) {
        let is_shown =
            |command: &String| command.split_whitespace().any(|word| word == verb) && command.contains("wsss");
        assert!(shown.iter().any(is_shown), "README.md shows no `wsss {verb}`");
    }
}

#[test]
fn commands_that_do_not_exist_are_found() {
    let args = "pub struct Cli {\n    #[arg(long, short, global = true)]\n    pub quiet: bool,\n}\n\
                pub enum Command {\n    /// Trains\n    Train(TrainArgs),\n    Config(ConfigArgs),\n}\n\
                pub struct Source {\n    #[arg(long = \"set\", value_name = \"KEY\")]\n    pub settings: String,\n}\n\
                pub struct TrainArgs {\n    pub out: PathBuf,\n    #[arg(long, default_value = \"a, b\")]\n    pub batch_size: usize,\n    \
                #[command(flatten)]\n    pub source: Source,\n}\npub struct ConfigArgs {\n}\n";
    let program = Program::new(args);
    assert_eq!(program.flags["train"], ["batch-size", "set"]);
    assert_eq!(program.flags[""], ["quiet"]);
    let wrong = |text: &str| complaints("a.md", text, &program).len();
    for text in [
        "`wsss train out --batch-size 4 --set a=b --quiet`",
        "```sh\ncargo run --bin wsss -- --quiet train out \\\n  --set=a=b | head --lines 3\n```",
        "`wsss config --help` `wsss --help` `cargo run --example quickstart` `cargo test --workspace`",
    ] {
        assert_eq!(wrong(text), 0, "{text}");
    }
    for text in [
        "`wsss fly`",
        "`wsss train --steps 3`",
        "```\nwsss config --batch-size 3\n```",
        "```\nwsss train \\\n  --steps 3\n```",
        "`cargo run --release --bin wsss -- fly`",
        "`cargo run --example no_such`",
        "`cargo bench --bench no_such`",
    ] {
        assert_eq!(wrong(text), 1, "{text}");
    }
}
