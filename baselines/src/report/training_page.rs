//! [`TrainingPage`]: one training looked at. It has no numbers of quality: training sees no masks.

use maud::{Markup, PreEscaped, html};

use crate::error::Result;
use crate::report::chart::{Chart, Series, css_color, smoothed};
use crate::report::html::{config_section, facts_section, page, reproduce_section, swatch};
use crate::report::model::{GalleryRow, LossCurve, OmittedCount, ReportClass};
use crate::report::sheet::tiles;
use crate::report::table::{Align, Table};

/// What is to be seen of a training.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrainingPage {
    /// Headline.
    pub title: String,
    /// How far it came, in a line.
    pub summary: String,
    /// Loss terms over steps, the total first.
    pub losses: Vec<LossCurve>,
    /// Base learning rate over steps.
    pub learning_rate: Vec<(usize, f64)>,
    /// Terms left out of steps.
    pub omitted: Vec<OmittedCount>,
    /// Where the time of a step went: part and milliseconds. Empty when no step was taken.
    pub step_times: Vec<(String, f64)>,
    /// Foreground classes and how many images are labelled with each.
    pub classes: Vec<(ReportClass, usize)>,
    /// Images in all.
    pub images: usize,
    /// Augmented crops as the network is given them; their classes are places in `classes`.
    pub crops: Vec<GalleryRow>,
    /// Name and value of what else is to be known.
    pub facts: Vec<(String, String)>,
    /// Commands that lead to this training.
    pub reproduce: Vec<String>,
    /// The configuration as it was run.
    pub config: String,
}

impl TrainingPage {
    /// The page. The same data gives the same bytes.
    ///
    /// # Errors
    /// When a curve cannot be drawn.
    pub fn to_html(&self) -> Result<String> {
        let body = html! {
            p.soft { (self.summary) }
            (self.losses_section()?)
            (self.omitted_section())
            (self.times_section())
            (self.classes_section())
            (self.crops_section())
            (facts_section("Run", &self.facts))
            (reproduce_section(&self.reproduce))
            (config_section(&self.config))
        };
        Ok(page(&self.title, &body))
    }

    fn losses_section(&self) -> Result<Markup> {
        let mut charts = Vec::new();
        for curve in &self.losses {
            let weight = if curve.weight == 1.0 { String::new() } else { format!(" × {}", curve.weight) };
            charts.push((format!("{}{weight}", curve.term), step_chart(smoothed(&curve.points))?));
        }
        let rate = self.learning_rate.iter().map(|(step, rate)| (*step as f64, *rate)).collect();
        charts.push(("learning rate".to_string(), step_chart(rate)?));
        Ok(html! {
            @if charts.iter().any(|(_, svg)| svg.is_some()) {
                h2 { "Losses" }
                div.small-charts {
                    @for (name, svg) in &charts {
                        @if let Some(svg) = svg { figure { h3 { (name) } (PreEscaped(svg)) } }
                    }
                }
                p.soft { "Terms before the weight that stands beside their name, running mean over steps; total: their weighted sum." }
            }
        })
    }

    fn omitted_section(&self) -> Markup {
        let mut rows = Table::new([("term", Align::Left), ("steps", Align::Right), ("reason", Align::Left)]);
        for omitted in &self.omitted {
            rows.push([&omitted.term, &omitted.steps.to_string(), &omitted.reason]);
        }
        html! {
            @if !self.omitted.is_empty() {
                h2 { "Terms left out" }
                (crate::report::html::table(&rows, |_| None))
                p.soft { "Steps whose batch gave the term no meaning; the other terms of the step were used." }
            }
        }
    }

    fn times_section(&self) -> Markup {
        let total: f64 = self.step_times.iter().map(|(_, time)| time).sum();
        let rows =
            self.step_times.iter().map(|(part, time)| (part.as_str(), share(*time, total), format!("{time:.1} ms")));
        html! {
            @if total > 0.0 {
                h2 { "Time of a step" }
                p { (format!("{total:.1} ms, mean over the steps of this process.")) }
                (bars(rows, |_| None))
            }
        }
    }

    fn classes_section(&self) -> Markup {
        let rows = self.classes.iter().map(|(class, images)| {
            (class.name.as_str(), share(*images as f64, self.images as f64), images.to_string())
        });
        html! {
            @if !self.classes.is_empty() {
                h2 { "Image-level labels" }
                p { (self.images) " images; how many have each class:" }
                (bars(rows, |row| self.classes.get(row).map(|(class, _)| class.color)))
            }
        }
    }

    fn crops_section(&self) -> Markup {
        let classes: Vec<ReportClass> = self.classes.iter().map(|(class, _)| class.clone()).collect();
        html! {
            @if !self.crops.is_empty() {
                h2 { "What the network is given" }
                p.soft { "The first crops of the training after augmentation, and the image-level labels they come with." }
                (tiles(&classes, &self.crops))
            }
        }
    }
}

fn step_chart(points: Vec<(f64, f64)>) -> Result<Option<String>> {
    let series = vec![Series { method: 1, faint: false, points }];
    Chart { width: 360, height: 210, x_label: "step", y_label: "", series, dots: Vec::new(), vertical: None }.to_svg()
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Name, bar and value, row by row; `mark` is the colour of a square before the name.
fn bars<'a>(rows: impl Iterator<Item = (&'a str, f64, String)>, mark: impl Fn(usize) -> Option<[u8; 3]>) -> Markup {
    html! {
        div.scroll {
            table {
                tbody {
                    @for (index, (name, share, value)) in rows.enumerate() {
                        tr {
                            td { @if let Some(color) = mark(index) { (swatch(color)) } (name) }
                            td {
                                div.bar.wide {
                                    span.track {
                                        span.fill style=(format!("width:{:.1}%;background:{}", 100.0 * share, css_color(1))) {}
                                    }
                                    span.number { (value) }
                                    span.change.soft { (format!("{:.1} %", 100.0 * share)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
