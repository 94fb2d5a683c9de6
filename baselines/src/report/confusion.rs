//! Which class was taken for which: a matrix with a row per class of the ground truth, and the worst of it in words.

use maud::{Markup, html};

use crate::report::html::swatch;
use crate::report::model::{Report, ReportClass};

/// Side of a cell in pixels for up to so many classes; the last for more.
const CELLS: [(usize, usize); 4] = [(8, 44), (22, 32), (45, 20), (usize::MAX, 12)];
/// Cells that hold a number.
const NUMBERED: usize = 24;
/// Shares below are not drawn, and not named.
const LEAST: f64 = 0.0005;
/// How many mistakes are named.
const NAMED: usize = 8;
/// Width of a character of a name, in parts of its height.
const CHARACTER: f64 = 0.56;

impl Report {
    /// The confusion of the first and the last method of every baseline, where it was kept.
    pub(crate) fn confusion_section(&self) -> Markup {
        let kept =
            |index: &usize| self.methods[*index].repeats.iter().any(|repeat| !repeat.confusion_at_best.is_empty());
        let first = |index: usize| {
            let method = &self.methods[index];
            let rows = method.repeats.iter().map(|repeat| &repeat.confusion_at_best).find(|rows| !rows.is_empty());
            rows.map(|rows| (method.name.as_str(), rows.as_slice()))
        };
        let mut shown = Vec::new();
        for group in self.groups() {
            let of: Vec<usize> = group.methods.iter().copied().filter(kept).collect();
            shown.extend(of.first().copied().and_then(first));
            shown.extend(of.last().filter(|_| of.len() > 1).copied().and_then(first));
        }
        confusion_section(&self.classes, &shown, "First training of a method, at its best score. ")
    }
}

/// Confusions (rows of the ground truth) by their names, side by side where there is room.
pub(crate) fn confusion_section(classes: &[ReportClass], named: &[(&str, &[Vec<u64>])], note: &str) -> Markup {
    html! {
        @if !named.is_empty() {
            h2 { "What is taken for what" }
            p.soft {
                (note) "Rows are the ground truth, each divided by its pixels (void apart); columns, what was predicted. "
                span.hit.key {} "right " span.miss.key {} "wrong; the fuller, the more. A cell's numbers show on hovering."
            }
            div.pairs {
                @for (name, rows) in named {
                    section {
                        @if named.len() > 1 { h3 { (name) } }
                        (confusion_figure(classes, rows))
                    }
                }
            }
        }
    }
}

/// The matrix of a confusion (rows of the ground truth), every row divided by its sum, and its largest mistakes.
fn confusion_figure(classes: &[ReportClass], rows: &[Vec<u64>]) -> Markup {
    let matrix = Matrix::new(classes, rows);
    html! {
        div.scroll { figure { (matrix.to_svg()) } }
        (mistake_list("Largest mistakes", classes, &matrix.mistakes(0)))
        // The background takes the most of nearly every class, and hides what is to be told apart.
        (mistake_list("Between foreground classes", classes, &matrix.mistakes(1)))
    }
}

fn mistake_list(title: &str, classes: &[ReportClass], mistakes: &[(usize, usize, f64)]) -> Markup {
    html! {
        @if !mistakes.is_empty() {
            p {
                (title) ": "
                @for (index, (truth, label, share)) in mistakes.iter().enumerate() {
                    @if index > 0 { "; " }
                    span.nowrap { (swatch(classes[*truth].color)) (classes[*truth].name) }
                    " as " (classes[*label].name) " " (format!("{:.1}\u{a0}%", 100.0 * share))
                }
                "."
            }
        }
    }
}

struct Matrix<'a> {
    classes: &'a [ReportClass],
    rows: &'a [Vec<u64>],
    sums: Vec<u64>,
    cell: usize,
}

impl<'a> Matrix<'a> {
    fn new(classes: &'a [ReportClass], rows: &'a [Vec<u64>]) -> Self {
        let sums = rows.iter().map(|row| row.iter().sum()).collect();
        let cell = CELLS.iter().find(|(most, _)| classes.len() <= *most).map_or(0, |(_, side)| *side);
        Self { classes, rows, sums, cell }
    }

    fn pixels(&self, truth: usize, label: usize) -> u64 {
        self.rows.get(truth).and_then(|row| row.get(label)).copied().unwrap_or(0)
    }

    fn share(&self, truth: usize, label: usize) -> f64 {
        match self.sums.get(truth) {
            Some(&sum) if sum > 0 => self.pixels(truth, label) as f64 / sum as f64,
            _ => 0.0,
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let len = self.classes.len().min(self.sums.len());
        (0..len).flat_map(move |truth| (0..len).map(move |label| (truth, label)))
    }

    // Ground truth, prediction and share of the largest cells beside the diagonal, of classes from `first` on.
    fn mistakes(&self, first: usize) -> Vec<(usize, usize, f64)> {
        let beside = self.pairs().filter(|(truth, label)| truth != label && *truth.min(label) >= first);
        let mut mistakes: Vec<(usize, usize, f64)> =
            beside.map(|(truth, label)| (truth, label, self.share(truth, label))).collect();
        mistakes.retain(|(_, _, share)| *share >= LEAST);
        mistakes.sort_by(|a, b| b.2.total_cmp(&a.2));
        mistakes.truncate(NAMED);
        mistakes
    }

    fn to_svg(&self) -> Markup {
        let (cell, len) = (self.cell, self.classes.len());
        let font = (cell - 1).clamp(11, 13);
        let longest = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
        // Names on the left and above, a caption beyond them.
        let start = (longest as f64 * CHARACTER * font as f64).ceil() as usize + font + 18;
        let side = len * cell;
        let (width, height) = (start + side + font, start + side + 2);
        let middle = start + side / 2;
        html! {
            svg.confusion role="img" aria-label="confusion matrix" font-size=(font) width=(width) height=(height)
                viewBox=(format!("0 0 {width} {height}")) style=(format!("width:{width}px"))
            {
                text.axis x=(middle) y=(font) text-anchor="middle" { "predicted" }
                text.axis transform=(format!("translate({font} {middle}) rotate(-90)")) text-anchor="middle" {
                    "ground truth"
                }
                rect.frame x=(start) y=(start) width=(side) height=(side) {}
                @for (index, class) in self.classes.iter().enumerate() {
                    @let (edge, along) = (start - 6, start + index * cell + cell / 2);
                    @let absent = (self.sums.get(index) == Some(&0)).then_some("axis");
                    text class=[absent] x=(edge) y=(along) dy=".35em" text-anchor="end" { (class.name) }
                    text transform=(format!("translate({along} {edge}) rotate(-90)")) dy=".35em" { (class.name) }
                }
                @for (truth, label) in self.pairs() { (self.drawn(start, truth, label)) }
            }
        }
    }

    fn drawn(&self, start: usize, truth: usize, label: usize) -> Markup {
        let (share, cell) = (self.share(truth, label), self.cell);
        let (x, y) = (start + label * cell, start + truth * cell);
        let kind = if truth == label { "hit" } else { "miss" };
        // The square root shows what is small: a mistake of 5 % is one.
        let (opacity, percent) = (share.sqrt(), 100.0 * share);
        html! {
            @if share >= LEAST {
                g {
                    title {
                        (self.classes[truth].name) " as " (self.classes[label].name) ": " (format!("{percent:.2}")) " %, "
                        (self.pixels(truth, label)) " pixels"
                    }
                    rect class=(kind) x=(x) y=(y) width=(cell) height=(cell) fill-opacity=(format!("{opacity:.2}")) {}
                    @if cell >= NUMBERED && percent >= 0.5 {
                        text.over[opacity > 0.75] x=(x + cell / 2) y=(y + cell / 2) dy=".35em" text-anchor="middle" {
                            (format!("{percent:.0}"))
                        }
                    }
                }
            }
        }
    }
}
