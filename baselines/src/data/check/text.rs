//! A survey as a table.

use std::fmt::Write as _;

use crate::data::check::{DataCheck, Problem};

/// Width of the first column.
const KEY: usize = 10;
/// Width of what can be done.
const WORK: usize = 34;
/// Least width of the names of classes.
const NAME: usize = 12;
const TOTAL: f64 = 100.0;

/// The table.
pub(super) fn write(check: &DataCheck) -> String {
    let mut text = format!(
        "{}, {}: {}, {}\n\nwhat is there\n",
        check.root,
        check.split,
        check.kind,
        counted(check.class_names.len(), "class", "classes")
    );
    let mut line = |key: &str, value: String| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {key:KEY$}{value}");
    };
    line("list", format!("{}: {}", check.list, counted(check.images.listed, "image", "images")));
    line("images", images(check));
    line("labels", labels(check));
    line("masks", masks(check));
    line("saliency", there(&check.saliency.source, check.saliency.there, check.images.listed));
    classes(&mut text, check);
    section(&mut text, "problems", &check.problems);
    if !check.notes.is_empty() {
        section(&mut text, "worth knowing", &check.notes);
    }
    text.push_str("\nwhat works\n");
    for work in &check.works {
        let verdict = work.reason.as_ref().map_or_else(|| "yes".to_string(), |reason| format!("no: {reason}"));
        let _ = writeln!(text, "  {:WORK$}{verdict}", work.what);
    }
    text
}

fn images(check: &DataCheck) -> String {
    let images = &check.images;
    let mut text = format!("{} of {} readable", images.readable, images.listed);
    if let (Some(least), Some(most)) = (images.smallest, images.largest) {
        let _ = write!(text, "; {} x {} to {} x {} pixels", least[0], least[1], most[0], most[1]);
    }
    if let Some(unlisted) = images.unlisted.filter(|unlisted| *unlisted > 0) {
        let _ = write!(text, "; {unlisted} more in the folder and in no list");
    }
    text
}

fn labels(check: &DataCheck) -> String {
    let each: Vec<String> = check
        .labels
        .per_image
        .iter()
        .map(|(labels, images)| format!("{images} with {}", counted(*labels, "label", "labels")))
        .collect();
    let text = there(&check.labels.source, check.labels.images, check.images.listed);
    if each.is_empty() { text } else { format!("{text}; {}", each.join(", ")) }
}

fn masks(check: &DataCheck) -> String {
    let masks = &check.masks;
    let text = there(&masks.source, masks.there, check.images.listed);
    if masks.pixels == 0 {
        return text;
    }
    let share = |pixels: usize| TOTAL * pixels as f64 / masks.pixels as f64;
    format!("{text}; {:.1} % background, {:.1} % void", share(masks.background), share(masks.void))
}

fn there(source: &str, count: usize, of: usize) -> String {
    if count == 0 { format!("none ({source})") } else { format!("{source}: {count} of {of}") }
}

fn classes(text: &mut String, check: &DataCheck) {
    let longest = check.class_names.iter().map(|name| name.chars().count()).max().unwrap_or_default();
    let width = NAME.max(longest + 2);
    let _ = writeln!(text, "\n  {:width$}{:>8}{:>8}", "images with", "label", "mask");
    for (class, name) in check.class_names.iter().enumerate() {
        let (labels, masks) = (check.labels.per_class[class], check.masks.per_class[class]);
        let _ = writeln!(text, "  {name:width$}{labels:>8}{masks:>8}");
    }
}

fn section(text: &mut String, title: &str, problems: &[Problem]) {
    let _ = writeln!(text, "\n{title}");
    if problems.is_empty() {
        text.push_str("  none\n");
    }
    for Problem { what, count, first } in problems {
        let _ = writeln!(text, "  {what}: {count}");
        for one in first {
            let _ = writeln!(text, "    {one}");
        }
        if *count > first.len() {
            let _ = writeln!(text, "    and {} more", count - first.len());
        }
    }
}

fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
