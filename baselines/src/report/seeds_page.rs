//! [`SeedsPage`]: seeds of one part of a data set looked at, those of several origins side by side.

use maud::{Markup, PreEscaped, html};

use crate::error::Result;
use crate::eval::{AbsentClass, Confusion};
use crate::report::chart::{Chart, Series, css_color};
use crate::report::confusion::confusion_section;
use crate::report::curves::legend;
use crate::report::html::{bar, facts_section, page, reproduce_section, swatch, table};
use crate::report::model::{Gallery, ReportClass};
use crate::report::sheet::gallery_section;
use crate::report::summary::percent;
use crate::report::table::{Align, Table};

/// What is to be seen of seeds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeedsPage {
    /// Headline.
    pub title: String,
    /// What was looked at, in a line.
    pub protocol: String,
    /// Classes in the order of the palette, background first.
    pub classes: Vec<ReportClass>,
    /// Images that have each class by their image-level labels; images in all, for the background.
    pub labelled: Vec<usize>,
    /// What becomes of a class in neither ground truth nor prediction.
    pub absent_class: AbsentClass,
    /// The background score fixed in advance.
    pub fixed_score: f64,
    /// Where seeds came from, in order.
    pub sources: Vec<SeedsSource>,
    /// Pictures of single images.
    pub galleries: Vec<Gallery>,
    /// Name and value of what else is to be known.
    pub facts: Vec<(String, String)>,
    /// Commands that lead to this page.
    pub reproduce: Vec<String>,
}

/// Seeds, or masks made of seeds, of one origin.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeedsSource {
    /// Its name.
    pub name: String,
    /// mIoU in `[0, 1]` at background scores, ascending; empty without ground truth, and for masks.
    pub curve: Vec<(f64, f64)>,
    /// Background score and mIoU of the best point of the curve.
    pub best: Option<(f64, f64)>,
    /// mIoU at the fixed score.
    pub at_fixed: Option<f64>,
    /// Background score of the pictures, the classes and the confusion; `None` for masks.
    pub shown_score: Option<f64>,
    /// Pixels by ground truth and prediction at the score shown, where there is ground truth.
    pub confusion: Option<Confusion>,
    /// Share of the pixels of every class at the score shown.
    pub shares: Vec<f64>,
}

impl SeedsPage {
    /// The page. The same data gives the same bytes.
    ///
    /// # Errors
    /// When a curve cannot be drawn.
    pub fn to_html(&self) -> Result<String> {
        let rows = |source: &SeedsSource| Some((source.name.clone(), source.confusion.as_ref()?.rows()));
        let confusions: Vec<(String, Vec<Vec<u64>>)> = self.sources.iter().filter_map(rows).collect();
        let named: Vec<(&str, &[Vec<u64>])> =
            confusions.iter().map(|(name, rows)| (name.as_str(), rows.as_slice())).collect();
        let body = html! {
            p.soft { (self.protocol) }
            (table(&self.sources_table(), |row| Some(css_color(row))))
            p.soft { (self.note()) }
            (self.curve_section()?)
            (self.classes_section())
            (confusion_section(&self.classes, &named, ""))
            @for gallery in &self.galleries { (gallery_section(&self.classes, gallery)) }
            (facts_section("Protocol", &self.facts))
            (reproduce_section(&self.reproduce))
        };
        Ok(page(&self.title, &body))
    }

    /// A line per origin: mIoU at the best and at the fixed score, or how much is foreground where there is no ground
    /// truth.
    pub fn sources_table(&self) -> Table {
        let right = |name: &'static str| (name, Align::Right);
        let fixed = format!("mIoU at {}", self.fixed_score);
        let scored = self.has_ground_truth();
        let columns: Vec<(&str, Align)> = if scored {
            vec![right("mIoU at best"), right("best score"), (&fixed, Align::Right), right("pixel accuracy")]
        } else {
            vec![right("shown at score"), right("foreground")]
        };
        let mut table = Table::new([("seeds", Align::Left)].into_iter().chain(columns));
        for source in &self.sources {
            let own = source.confusion.as_ref();
            let cells = if scored {
                // Masks have one mIoU, whatever the score.
                let best = source.best.map(|best| best.1).or_else(|| own?.mean_iou(self.absent_class));
                let score = source.best.map_or_else(|| "masks".to_string(), |best| best.0.to_string());
                let accuracy = own.and_then(Confusion::pixel_accuracy);
                vec![shown(best), score, shown(source.at_fixed), shown(accuracy)]
            } else {
                let score = source.shown_score.map_or_else(|| "masks".to_string(), |score| score.to_string());
                vec![score, shown(source.shares.first().map(|background| 1.0 - background))]
            };
            table.push([source.name.clone()].into_iter().chain(cells));
        }
        table
    }

    fn has_ground_truth(&self) -> bool {
        self.sources.iter().any(|source| source.confusion.is_some())
    }

    fn note(&self) -> String {
        let scores = self.sources.iter().map(|source| match source.shown_score {
            Some(score) => format!("{} at background score {score}", source.name),
            None => format!("{} as it is", source.name),
        });
        let scores: Vec<String> = scores.collect();
        let first = if self.has_ground_truth() {
            "Percent. The best score is chosen with the ground truth it is measured on."
        } else {
            "There are no masks: nothing here says how good the seeds are."
        };
        format!("{first} Below, everything shows {}.", scores.join(", "))
    }

    fn curve_section(&self) -> Result<Markup> {
        let mut chart = Chart {
            width: 740,
            height: 330,
            x_label: "background score",
            y_label: "mIoU (%)",
            series: Vec::new(),
            dots: Vec::new(),
            vertical: Some(self.fixed_score),
        };
        for (method, source) in self.sources.iter().enumerate().filter(|(_, source)| !source.curve.is_empty()) {
            let points = source.curve.iter().map(|(score, value)| (*score, 100.0 * value)).collect();
            chart.series.push(Series { method, faint: false, points });
            chart.dots.extend(source.best.map(|(score, value)| (method, (score, 100.0 * value))));
        }
        let Some(svg) = chart.to_svg()? else { return Ok(html! {}) };
        let named = self.sources.iter().enumerate().filter(|(_, source)| !source.curve.is_empty());
        Ok(html! {
            h2 { "Background score" }
            (legend(named.map(|(index, source)| (index, source.name.as_str()))))
            figure.chart { (PreEscaped(svg)) }
            p.soft { "Dot: best score. Dashed line: the fixed score, " (self.fixed_score) "." }
        })
    }

    fn classes_section(&self) -> Markup {
        let single = self.sources.len() == 1 && self.has_ground_truth();
        html! {
            h2 { "Classes" }
            div.scroll {
                table {
                    thead {
                        tr {
                            th { "class" } th.right { "images" }
                            @for source in &self.sources {
                                @if self.has_ground_truth() { th { (source.name) } th.right { "pixels" } }
                                @else { th.right { (source.name) } }
                            }
                            @if single { th.right { "precision" } th.right { "recall" } }
                        }
                    }
                    tbody {
                        @for (class, named) in self.classes.iter().enumerate() {
                            tr {
                                td { (swatch(named.color)) (named.name) }
                                td.right { (self.labelled.get(class).copied().unwrap_or(0)) }
                                @for index in 0..self.sources.len() { (self.class_cells(index, class)) }
                                @if single { (self.precision_cells(class)) }
                            }
                        }
                    }
                }
            }
            p.soft {
                @if self.has_ground_truth() {
                    "IoU in percent"
                    @if self.sources.len() > 1 { ", and the difference to " (self.sources[0].name) }
                    "; " @if single { "precision: share of what was predicted that is right; recall: share of the ground truth found; " }
                }
                "images: those labelled with the class; "
                @if self.has_ground_truth() { "pixels" } @else { "under a name" }
                ": percent of the pixels predicted as it."
            }
        }
    }

    fn class_cells(&self, index: usize, class: usize) -> Markup {
        let iou = |index: usize| {
            let confusion = self.sources.get(index)?.confusion.as_ref()?;
            confusion.ious(self.absent_class).get(class).copied().flatten()
        };
        html! {
            @if self.has_ground_truth() { td { (bar(index, iou(index), iou(0).filter(|_| index > 0))) } }
            td.right { (shown(self.sources[index].shares.get(class).copied())) }
        }
    }

    fn precision_cells(&self, class: usize) -> Markup {
        let counts = self.sources.first().and_then(|source| source.confusion.as_ref()).map(Confusion::class_counts);
        let of =
            |values: Option<Vec<Option<f64>>>| shown(values.and_then(|values| values.get(class).copied().flatten()));
        html! {
            td.right { (of(counts.as_ref().map(|counts| counts.precisions()))) }
            td.right { (of(counts.as_ref().map(|counts| counts.recalls()))) }
        }
    }
}

fn shown(value: Option<f64>) -> String {
    value.map_or_else(String::new, percent)
}
