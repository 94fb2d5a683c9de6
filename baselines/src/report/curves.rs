//! Sections of the page that are charts: mIoU over the background score, losses over training.

use maud::{Markup, PreEscaped, html};

use crate::error::Result;
use crate::report::chart::{Chart, Series, css_color, smoothed};
use crate::report::html::{heading, table};
use crate::report::matrix::Group;
use crate::report::model::{Method, Report};
use crate::report::summary::best_point;

impl Report {
    pub(crate) fn curves_section(&self) -> Result<Markup> {
        let mut charts = Vec::new();
        for group in self.groups() {
            let Some(svg) = self.curves_chart(&group)?.to_svg()? else { continue };
            charts.push((group, svg));
        }
        if charts.is_empty() {
            return Ok(html! {});
        }
        Ok(html! {
            h2 { "Background score" }
            @for (group, svg) in charts {
                (heading(&group))
                (self.legend(&group))
                figure.chart { (PreEscaped(svg)) }
            }
            p.soft {
                "Mean over repeats, single repeats faint. Dot: best score of the mean. Dashed line: the fixed score, "
                (self.protocol.fixed_scores()) "."
            }
        })
    }

    fn curves_chart(&self, group: &Group<'_>) -> Result<Chart> {
        let mut chart = Chart {
            width: 740,
            height: 330,
            x_label: "background score",
            y_label: "mIoU (%)",
            series: Vec::new(),
            dots: Vec::new(),
            vertical: Some(self.protocol.fixed_score_of(group.baseline.unwrap_or_default())),
        };
        for index in &group.methods {
            let (of, color) = (&self.methods[*index], self.color_of(*index));
            let points = |curve: &[Option<f64>]| -> Vec<(f64, f64)> {
                let pairs = self.thresholds.iter().zip(curve);
                pairs.filter_map(|(score, value)| value.map(|value| (*score, 100.0 * value))).collect()
            };
            let mean = self.mean_curve(of);
            if of.repeats.len() > 1 {
                let faint = |points| Series { method: color, faint: true, points };
                chart.series.extend(of.repeats.iter().map(|repeat| faint(points(&repeat.curve))));
            }
            if let Some((place, value)) = best_point(&mean) {
                chart.dots.push((color, (self.thresholds[place], 100.0 * value)));
            }
            chart.series.push(Series { method: color, faint: false, points: points(&mean) });
        }
        Ok(chart)
    }

    /// Mean over the repeats that have a value.
    fn mean_curve(&self, method: &Method) -> Vec<Option<f64>> {
        let values = |at: usize| method.repeats.iter().filter_map(|repeat| repeat.curve[at]).collect::<Vec<f64>>();
        let mean = |values: Vec<f64>| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
        (0..self.thresholds.len()).map(|at| mean(values(at))).collect()
    }

    fn legend(&self, group: &Group<'_>) -> Markup {
        legend(group.methods.iter().map(|index| (self.color_of(*index), self.methods[*index].name.as_str())))
    }

    pub(crate) fn losses_section(&self) -> Result<Markup> {
        let omitted = self.omitted_table();
        let groups = self.groups().into_iter().map(|group| Ok((self.loss_charts(&group)?, group)));
        let groups = groups.collect::<Result<Vec<_>>>()?;
        Ok(html! {
            @if groups.iter().any(|(charts, _)| !charts.is_empty()) {
                h2 { "Losses" }
                @for (charts, group) in &groups {
                    (heading(group))
                    (self.legend(group))
                    div.small-charts {
                        @for (term, svg) in charts {
                            @if let Some(svg) = svg { figure { h3 { (term) } (PreEscaped(svg)) } }
                        }
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

    // Every term of any method of the group, and its chart.
    fn loss_charts(&self, group: &Group<'_>) -> Result<Vec<(&str, Option<String>)>> {
        let mut terms: Vec<&str> = Vec::new();
        let repeats = group.methods.iter().flat_map(|index| &self.methods[*index].repeats);
        for curve in repeats.flat_map(|repeat| &repeat.losses) {
            if !terms.contains(&curve.term.as_str()) {
                terms.push(&curve.term);
            }
        }
        terms.into_iter().map(|term| Ok((term, self.loss_chart(group, term)?))).collect()
    }

    fn loss_chart(&self, group: &Group<'_>, term: &str) -> Result<Option<String>> {
        let mut series = Vec::new();
        for index in &group.methods {
            let (repeats, method) = (&self.methods[*index].repeats, self.color_of(*index));
            let curves = repeats.iter().flat_map(|repeat| &repeat.losses).filter(|curve| curve.term == term);
            let curves: Vec<Vec<(f64, f64)>> = curves.map(|curve| smoothed(&curve.points)).collect();
            let mean = mean_of(&curves);
            let faint = mean.is_some();
            series.extend(mean.map(|points| Series { method, faint: false, points }));
            series.extend(curves.into_iter().map(|points| Series { method, faint, points }));
        }
        Chart { width: 360, height: 210, x_label: "step", y_label: "", series, dots: Vec::new(), vertical: None }
            .to_svg()
    }
}

/// Names beside the colours of their curves.
pub(crate) fn legend<'a>(entries: impl Iterator<Item = (usize, &'a str)>) -> Markup {
    html! {
        div.legend {
            @for (color, name) in entries {
                span { span.swatch style=(format!("background:{}", css_color(color))) {} (name) }
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
