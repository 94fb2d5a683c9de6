//! Which class was taken for which: a matrix with a row per class of the ground truth, and the worst of it in words.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use crate::eval::Confusion;
use crate::report::html::swatch;
use crate::report::model::ReportClass;

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

/// The matrix of a confusion, every row divided by its sum, and its largest mistakes.
pub(crate) fn confusion_figure(classes: &[ReportClass], confusion: &Confusion) -> Markup {
    let matrix = Matrix::new(classes, confusion);
    let mistakes = matrix.mistakes();
    html! {
        div.scroll { figure { (PreEscaped(matrix.to_svg())) } }
        p.soft {
            "Rows are the ground truth, each divided by its pixels (void apart); columns, what was predicted. "
            span.hit.key {} "right " span.miss.key {} "wrong; the fuller, the more. A cell's numbers show on hovering."
        }
        @if !mistakes.is_empty() {
            p {
                "Largest mistakes: "
                @for (index, (truth, label, share)) in mistakes.iter().enumerate() {
                    @if index > 0 { "; " }
                    span.nowrap { (swatch(classes[*truth].color)) (classes[*truth].name) }
                    " as " (classes[*label].name) " " (format!("{:.1} %", 100.0 * share))
                }
                "."
            }
        }
    }
}

struct Matrix<'a> {
    classes: &'a [ReportClass],
    counts: &'a [u64],
    sums: Vec<u64>,
    cell: usize,
}

impl<'a> Matrix<'a> {
    fn new(classes: &'a [ReportClass], confusion: &'a Confusion) -> Self {
        let counts = confusion.counts();
        let sums = counts.chunks(classes.len().max(1)).map(|row| row.iter().sum()).collect();
        let cell = CELLS.iter().find(|(most, _)| classes.len() <= *most).map_or(0, |(_, side)| *side);
        Self { classes, counts, sums, cell }
    }

    fn share(&self, truth: usize, label: usize) -> f64 {
        match self.sums.get(truth) {
            Some(&sum) if sum > 0 => self.counts[truth * self.classes.len() + label] as f64 / sum as f64,
            _ => 0.0,
        }
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> + use<> {
        let len = self.classes.len().min(self.sums.len());
        (0..len).flat_map(move |truth| (0..len).map(move |label| (truth, label)))
    }

    // Ground truth, prediction and share of the largest cells beside the diagonal.
    fn mistakes(&self) -> Vec<(usize, usize, f64)> {
        let beside = self.pairs().filter(|(truth, label)| truth != label);
        let mut mistakes: Vec<(usize, usize, f64)> =
            beside.map(|(truth, label)| (truth, label, self.share(truth, label))).collect();
        mistakes.retain(|(_, _, share)| *share >= LEAST);
        mistakes.sort_by(|a, b| b.2.total_cmp(&a.2));
        mistakes.truncate(NAMED);
        mistakes
    }

    fn to_svg(&self) -> String {
        let (cell, len) = (self.cell, self.classes.len());
        let font = (cell - 1).clamp(11, 13);
        let longest = self.classes.iter().map(|class| class.name.chars().count()).max().unwrap_or(0);
        let margin = (longest as f64 * CHARACTER * font as f64).ceil() as usize + 10;
        let (left, top) = (margin + font + 8, margin + font + 8);
        // Nothing on the right but the slack of the last name.
        let (width, height) = (left + len * cell + font, top + len * cell + 2);
        let mut svg = format!(
            "<svg class=\"confusion\" role=\"img\" aria-label=\"confusion matrix\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" style=\"width:{width}px\" font-size=\"{font}\">"
        );
        let side = len * cell;
        let middle = (left + side / 2, top + side / 2);
        // Writing to a string cannot fail.
        drop(write!(svg, "<text class=\"axis\" x=\"{}\" y=\"{font}\" text-anchor=\"middle\">predicted</text>", middle.0));
        drop(write!(
            svg,
            "<text class=\"axis\" transform=\"translate({font} {}) rotate(-90)\" text-anchor=\"middle\">ground truth</text>",
            middle.1
        ));
        drop(write!(svg, "<rect class=\"frame\" x=\"{left}\" y=\"{top}\" width=\"{side}\" height=\"{side}\"/>"));
        for (index, class) in self.classes.iter().enumerate() {
            let along = index * cell + cell / 2;
            let name = html! { (class.name) }.into_string();
            let empty = if self.sums.get(index) == Some(&0) { " class=\"axis\"" } else { "" };
            let (x, y) = (left - 6, top + along);
            drop(write!(svg, "<text{empty} x=\"{x}\" y=\"{y}\" dy=\".35em\" text-anchor=\"end\">{name}</text>"));
            let (x, y) = (left + along, top - 6);
            drop(write!(svg, "<text transform=\"translate({x} {y}) rotate(-90)\" dy=\".35em\">{name}</text>"));
        }
        self.pairs().for_each(|(truth, label)| self.draw_cell(&mut svg, (left, top), truth, label));
        svg.push_str("</svg>");
        svg
    }

    fn draw_cell(&self, svg: &mut String, (left, top): (usize, usize), truth: usize, label: usize) {
        let share = self.share(truth, label);
        if share < LEAST {
            return;
        }
        let cell = self.cell;
        let (x, y) = (left + label * cell, top + truth * cell);
        let kind = if truth == label { "hit" } else { "miss" };
        // The square root shows what is small: a mistake of 5 % is one.
        let (opacity, percent) = (share.sqrt(), 100.0 * share);
        let title = html! {
            (self.classes[truth].name) " as " (self.classes[label].name) ": " (format!("{percent:.2} %, "))
            (self.counts[truth * self.classes.len() + label]) " pixels"
        };
        drop(write!(
            svg,
            "<g><title>{}</title><rect class=\"{kind}\" x=\"{x}\" y=\"{y}\" width=\"{cell}\" height=\"{cell}\" \
             fill-opacity=\"{opacity:.2}\"/>",
            title.into_string()
        ));
        if cell >= NUMBERED && percent >= 0.5 {
            let (x, y) = (x + cell / 2, y + cell / 2);
            let class = if opacity > 0.6 { "over" } else { "number" };
            drop(write!(
                svg,
                "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" dy=\".35em\" text-anchor=\"middle\">{percent:.0}</text>"
            ));
        }
        svg.push_str("</g>");
    }
}
