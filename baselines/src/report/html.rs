//! The report as one page that needs no other file.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::Result;
use crate::eval::AbsentClass;
use crate::report::chart::{Chart, Series, css_color, smoothed};
use crate::report::model::{Gallery, Method, Report};
use crate::report::summary::{best_point, percent, signed_percent};
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
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    h1 { (self.title) }
                    p.soft { (self.protocol.line()) }
                    (self.methods_section()?)
                    (self.curves_section()?)
                    (self.classes_section())
                    (self.losses_section()?)
                    @for gallery in &self.galleries { (self.gallery_section(gallery)) }
                    (self.protocol_section())
                    (self.reproduce_section())
                }
            }
        };
        Ok(page.into_string())
    }

    fn methods_section(&self) -> Result<Markup> {
        let first = &self.methods[0].name;
        Ok(html! {
            h2 { "Methods" }
            (table(&self.methods_table()?, |row| Some(css_color(row))))
            p.soft {
                "Percent. Value ± standard deviation over repeats; difference to " (first)
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
            ul.cautions { @for caution in self.cautions()? { li { (caution) } } }
        })
    }

    fn curves_section(&self) -> Result<Markup> {
        let mut chart = Chart {
            width: 740,
            height: 330,
            x_label: "background score",
            y_label: "mIoU (%)",
            series: Vec::new(),
            dots: Vec::new(),
            vertical: Some(self.protocol.fixed_score),
        };
        for (index, method) in self.methods.iter().enumerate() {
            let points = |curve: &[Option<f64>]| -> Vec<(f64, f64)> {
                let pairs = self.thresholds.iter().zip(curve);
                pairs.filter_map(|(score, value)| value.map(|value| (*score, 100.0 * value))).collect()
            };
            let mean = self.mean_curve(method);
            if method.repeats.len() > 1 {
                let faint = |points| Series { method: index, faint: true, points };
                chart.series.extend(method.repeats.iter().map(|repeat| faint(points(&repeat.curve))));
            }
            if let Some((place, value)) = best_point(&mean) {
                chart.dots.push((index, (self.thresholds[place], 100.0 * value)));
            }
            chart.series.push(Series { method: index, faint: false, points: points(&mean) });
        }
        let Some(svg) = chart.to_svg()? else { return Ok(html! {}) };
        Ok(html! {
            h2 { "Background score" }
            (self.legend())
            figure.chart { (PreEscaped(svg)) }
            p.soft {
                "Mean over repeats, single repeats faint. Dot: best score of the mean. Dashed line: the fixed score, "
                (self.protocol.fixed_score) "."
            }
        })
    }

    /// Mean over the repeats that have a value.
    fn mean_curve(&self, method: &Method) -> Vec<Option<f64>> {
        let values = |at: usize| method.repeats.iter().filter_map(|repeat| repeat.curve[at]).collect::<Vec<f64>>();
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        (0..self.thresholds.len()).map(|at| mean(values(at))).collect()
    }

    fn legend(&self) -> Markup {
        html! {
            div.legend {
                @for (index, method) in self.methods.iter().enumerate() {
                    span { span.swatch style=(format!("background:{}", css_color(index))) {} (method.name) }
                }
            }
        }
    }

    fn classes_section(&self) -> Markup {
        let means: Vec<Vec<Option<f64>>> = self.methods.iter().map(|method| self.class_means(method)).collect();
        html! {
            h2 { "Classes" }
            div.scroll {
                table {
                    thead { tr { th { "class" } @for method in &self.methods { th { (method.name) } } } }
                    tbody {
                        @for (class, named) in self.classes.iter().enumerate() {
                            tr {
                                td { (swatch(named.color)) (named.name) }
                                @for (index, mean) in means.iter().enumerate() {
                                    td { (bar(index, mean[class], means[0][class].filter(|_| index > 0))) }
                                }
                            }
                        }
                    }
                }
            }
            p.soft {
                "IoU in percent at the best score, mean over repeats"
                @if self.methods.len() > 1 { ", and the difference to " (self.methods[0].name) }
                ". Empty: in neither ground truth nor prediction."
            }
        }
    }

    fn losses_section(&self) -> Result<Markup> {
        let mut terms: Vec<&str> = Vec::new();
        for curve in self.methods.iter().flat_map(|method| &method.repeats).flat_map(|repeat| &repeat.losses) {
            if !terms.contains(&curve.term.as_str()) {
                terms.push(&curve.term);
            }
        }
        let charts = terms.iter().map(|term| self.loss_chart(term)).collect::<Result<Vec<_>>>()?;
        let omitted = self.omitted_table();
        Ok(html! {
            @if !terms.is_empty() {
                h2 { "Losses" }
                (self.legend())
                div.small-charts {
                    @for (term, svg) in terms.iter().zip(charts) {
                        @if let Some(svg) = svg { figure { h3 { (term) } (PreEscaped(svg)) } }
                    }
                }
                p.soft { "Before the weight, running mean over steps; mean over repeats, single repeats faint." }
            }
            @if !omitted.rows().is_empty() {
                h2 { "Terms left out" }
                (table(&omitted, |_| None))
                p.soft { "Steps whose batch gave the term no meaning; the other terms of the step were used." }
            }
        })
    }

    fn loss_chart(&self, term: &str) -> Result<Option<String>> {
        let mut series = Vec::new();
        for (index, method) in self.methods.iter().enumerate() {
            let curves = method.repeats.iter().flat_map(|repeat| &repeat.losses).filter(|curve| curve.term == term);
            let curves: Vec<Vec<(f64, f64)>> = curves.map(|curve| smoothed(&curve.points)).collect();
            let mean = mean_of(&curves);
            let faint = mean.is_some();
            series.extend(mean.map(|points| Series { method: index, faint: false, points }));
            series.extend(curves.into_iter().map(|points| Series { method: index, faint, points }));
        }
        Chart { width: 360, height: 210, x_label: "step", y_label: "", series, dots: Vec::new(), vertical: None }
            .to_svg()
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

    fn gallery_section(&self, gallery: &Gallery) -> Markup {
        let mut classes: Vec<usize> = gallery.rows.iter().flat_map(|row| row.classes.iter().copied()).collect();
        classes.sort_unstable();
        classes.dedup();
        html! {
            h2 { (gallery.title) }
            @if !gallery.note.is_empty() { p.soft { (gallery.note) } }
            div.legend {
                @for named in classes.iter().map(|class| &self.classes[*class]) {
                    span { (swatch(named.color)) (named.name) }
                }
                span { (swatch([255; 3])) "void" }
            }
            div.scroll {
                table.gallery {
                    thead { tr { th {} @for column in &gallery.columns { th { (column) } } } }
                    tbody {
                        @for row in &gallery.rows {
                            @let names: Vec<&str> = row.classes.iter().map(|c| self.classes[*c].name.as_str()).collect();
                            tr {
                                td.name { (row.id) div.soft { (names.join(", ")) } }
                                @for (panel, column) in row.panels.iter().zip(&gallery.columns) {
                                    td.panel {
                                        img src=(panel.picture.data_url()) alt=(format!("{}: {column}", row.id))
                                            width=(panel.picture.width()) height=(panel.picture.height());
                                        @if let Some(value) = panel.mean_iou { div.soft { "mIoU " (percent(value)) } }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn protocol_section(&self) -> Markup {
        let protocol = &self.protocol;
        let scales: Vec<String> = protocol.scales.iter().map(f64::to_string).collect();
        let absent = match protocol.absent_class {
            AbsentClass::AsZero => "count as IoU 0",
            AbsentClass::Skipped => "left out of the mean",
        };
        let entries = [
            ("Measured", protocol.stage.clone()),
            ("Data set, split", format!("{}, {}", protocol.dataset, protocol.split)),
            ("Images", protocol.num_images.to_string()),
            ("Ground truth", protocol.ground_truth.clone()),
            ("Best score", protocol.threshold_rule.clone()),
            ("Fixed score", protocol.fixed_score.to_string()),
            ("CRF", protocol.crf.clone()),
            ("Scales", scales.join(", ")),
            ("Mirrored", if protocol.flip { "yes" } else { "no" }.to_string()),
            ("Classes in neither", absent.to_string()),
        ];
        html! {
            h2 { "Protocol" }
            dl { @for (name, value) in entries { dt { (name) } dd { (value) } } }
        }
    }

    fn reproduce_section(&self) -> Markup {
        html! {
            @if !self.reproduce.is_empty() {
                h2 { "How to reproduce" }
                pre { (self.reproduce.join("\n")) }
            }
            @if !self.environment.is_empty() {
                h2 { "Environment" }
                dl { @for (name, value) in &self.environment { dt { (name) } dd { (value) } } }
            }
            @if !self.config.is_empty() {
                h2 { "Configuration" }
                details { summary { "as it was run" } pre { (self.config) } }
            }
        }
    }
}

/// Mean of several curves; `None` for a single one, or where they are not defined at the same places.
fn mean_of(curves: &[Vec<(f64, f64)>]) -> Option<Vec<(f64, f64)>> {
    let (first, rest) = curves.split_first().filter(|(_, rest)| !rest.is_empty())?;
    let same = |curve: &Vec<(f64, f64)>| curve.iter().map(|point| point.0).eq(first.iter().map(|point| point.0));
    if !rest.iter().all(same) {
        return None;
    }
    let mean = |at: usize| curves.iter().map(|curve| curve[at].1).sum::<f64>() / curves.len() as f64;
    Some(first.iter().enumerate().map(|(at, point)| (point.0, mean(at))).collect())
}

fn swatch([red, green, blue]: [u8; 3]) -> Markup {
    html! { span.swatch style=(format!("background:rgb({red},{green},{blue})")) {} }
}

/// A table; `mark` is the colour of a square before the first cell of a row.
fn table(table: &Table, mark: impl Fn(usize) -> Option<String>) -> Markup {
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
fn bar(method: usize, value: Option<f64>, reference: Option<f64>) -> Markup {
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
