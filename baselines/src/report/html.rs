//! The report as one page that needs no other file.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::Result;
use crate::report::chart::css_color;
use crate::report::matrix::Group;
use crate::report::model::Report;
use crate::report::sheet::gallery_section;
use crate::report::summary::{percent, signed_percent};
use crate::report::table::{Align, Table};

const STYLE: &str = include_str!("style.css");

impl Report {
    /// The page: tables first, then curves, losses, pictures, and how to get there again. The same report gives the same
    /// bytes.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn to_html(&self) -> Result<String> {
        self.check()?;
        let body = html! {
            p.soft { (self.protocol.line()) }
            (self.matrix_section()?)
            (self.methods_section()?)
            (self.curves_section()?)
            (self.classes_section())
            (self.confusion_section())
            (self.losses_section()?)
            @for gallery in &self.galleries { (gallery_section(&self.classes, gallery)) }
            (self.protocol_section())
            (reproduce_section(&self.reproduce))
            (facts_section("Environment", &self.environment))
            (config_section(&self.config))
        };
        Ok(page(&self.title, &body))
    }

    fn matrix_section(&self) -> Result<Markup> {
        let matrices = self.matrices(None)?;
        if matrices.is_empty() {
            return Ok(html! {});
        }
        // Rows of a matrix are methods in the order of their colours.
        Ok(html! {
            h2 { "Matrix" }
            @for (title, matrix) in &matrices {
                h3 { (title) }
                (table(matrix, |row| Some(css_color(row))))
            }
            p.soft { (self.matrix_note()) }
            (self.left_out_section())
        })
    }

    fn left_out_section(&self) -> Markup {
        html! { @if !self.left_out.is_empty() { (table(&self.left_out_table(), |_| None)) } }
    }

    fn methods_section(&self) -> Result<Markup> {
        Ok(html! {
            h2 { "Methods" }
            (table(&self.methods_table()?, |row| Some(css_color(self.color_of(row)))))
            p.soft {
                "Percent. Value ± standard deviation over repeats; difference to " (self.reference_name())
                " ± standard error, repeats paired by seed. Pixel accuracy at the best score."
                @if let Some(interval) = self.methods.iter().find_map(|method| method.image_bootstrap) {
                    " Over images: " (100.0 * interval.level) " % interval of the difference at the best score, "
                    (interval.images) " images drawn anew " (interval.resamples) " times."
                }
                @if self.methods.iter().flat_map(|method| &method.repeats).any(|repeat| repeat.cross_fitted.is_some()) {
                    " Held out: every image at the score that is best on other images."
                }
                @if let Some(times) = self.training_times()? { " " (times) }
            }
            @if self.baselines().len() < 2 { (self.left_out_section()) }
            ul.cautions { @for caution in self.cautions()? { li { (caution) } } }
        })
    }

    fn classes_section(&self) -> Markup {
        html! {
            h2 { "Classes" }
            @for group in self.groups() { (heading(&group)) (self.classes_of(&group)) }
            p.soft {
                "IoU in percent at the best score, mean over repeats"
                @if self.methods.len() > 1 { ", and the difference to " (self.reference_name()) }
                ". Empty: in neither ground truth nor prediction."
            }
        }
    }

    fn classes_of(&self, group: &Group<'_>) -> Markup {
        let means: Vec<Vec<Option<f64>>> = self.methods.iter().map(|method| self.class_means(method)).collect();
        let cell = |index: usize, class: usize| {
            let reference = self.methods[index].reference;
            bar(self.color_of(index), means[index][class], means[reference][class].filter(|_| reference != index))
        };
        html! {
            div.scroll {
                table {
                    thead {
                        tr { th { "class" } @for index in &group.methods { th { (self.methods[*index].name) } } }
                    }
                    tbody {
                        @for (class, named) in self.classes.iter().enumerate() {
                            tr {
                                td { (swatch(named.color)) (named.name) }
                                @for index in &group.methods { td { (cell(*index, class)) } }
                            }
                        }
                    }
                }
            }
        }
    }

    /// Terms left out, summed over the repeats of a method.
    pub(crate) fn omitted_table(&self) -> Table {
        let left = |name| (name, Align::Left);
        let mut table = Table::new([left("method"), left("term"), ("steps", Align::Right), left("reason")]);
        for method in &self.methods {
            let mut sums: Vec<(&str, &str, usize)> = Vec::new();
            for omitted in method.repeats.iter().flat_map(|repeat| &repeat.omitted) {
                let key = (omitted.term.as_str(), omitted.reason.as_str());
                match sums.iter_mut().find(|sum| (sum.0, sum.1) == key) {
                    Some(sum) => sum.2 += omitted.steps,
                    None => sums.push((key.0, key.1, omitted.steps)),
                }
            }
            for (term, reason, steps) in sums {
                table.push([method.name.as_str(), term, &steps.to_string(), reason]);
            }
        }
        table
    }

    fn protocol_section(&self) -> Markup {
        html! {
            h2 { "Protocol" }
            dl { @for (name, value) in self.protocol.entries() { dt { (name) } dd { (value) } } }
        }
    }
}

/// A whole page of a title and what follows it.
pub(crate) fn page(title: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                (body)
            }
        }
    };
    page.into_string()
}

/// Commands, one per line.
pub(crate) fn reproduce_section(commands: &[String]) -> Markup {
    html! {
        @if !commands.is_empty() {
            h2 { "How to reproduce" }
            pre { (commands.join("\n")) }
        }
    }
}

/// Names and values.
pub(crate) fn facts_section(title: &str, facts: &[(String, String)]) -> Markup {
    html! {
        @if !facts.is_empty() {
            h2 { (title) }
            dl { @for (name, value) in facts { dt { (name) } dd { (value) } } }
        }
    }
}

/// A configuration, folded.
pub(crate) fn config_section(config: &str) -> Markup {
    html! {
        @if !config.is_empty() {
            h2 { "Configuration" }
            details { summary { "as it was run" } pre { (config) } }
        }
    }
}

/// A square of a class's colour.
pub(crate) fn swatch([red, green, blue]: [u8; 3]) -> Markup {
    html! { span.swatch style=(format!("background:rgb({red},{green},{blue})")) {} }
}

/// The baseline's name, where there are several.
pub(crate) fn heading(group: &Group<'_>) -> Markup {
    html! { @if let Some(baseline) = group.baseline { h3 { (baseline) } } }
}

/// A table; `mark` is the colour of a square before the first cell of a row.
pub(crate) fn table(table: &Table, mark: impl Fn(usize) -> Option<String>) -> Markup {
    let side = |align: Align| (align == Align::Right).then_some("right");
    html! {
        div.scroll {
            table {
                thead { tr { @for (name, align) in table.columns() { th class=[side(*align)] { (name) } } } }
                tbody {
                    @for (index, row) in table.rows().iter().enumerate() {
                        tr {
                            @for (column, (cell, (_, align))) in row.iter().zip(table.columns()).enumerate() {
                                @let color = mark(index).filter(|_| column == 0);
                                td class=[color.as_ref().map(|_| "method").or(side(*align))] {
                                    @if let Some(color) = color {
                                        span.swatch style=(format!("background:{color}")) {}
                                    }
                                    (cell)
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A bar for an `IoU`, with the difference to another one.
pub(crate) fn bar(method: usize, value: Option<f64>, reference: Option<f64>) -> Markup {
    let Some(value) = value else { return html! {} };
    let difference = reference.map(|reference| value - reference);
    let direction = difference.map(|difference| if difference < 0.0 { "change down" } else { "change up" });
    html! {
        div.bar {
            span.track {
                span.fill style=(format!("width:{:.1}%;background:{}", 100.0 * value, css_color(method))) {}
            }
            span.number { (percent(value)) }
            @if let Some(difference) = difference { span class=[direction] { (signed_percent(difference)) } }
        }
    }
}
