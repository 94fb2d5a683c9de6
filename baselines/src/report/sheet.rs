//! Contact sheets: pictures of single images in rows, or side by side.

use maud::{Markup, html};

use crate::report::color_scale::score_legend;
use crate::report::html::swatch;
use crate::report::model::{Gallery, GalleryRow, Panel, ReportClass};
use crate::report::summary::percent;

/// A gallery: its heading, what the colours mean, a row of pictures per image.
pub(crate) fn gallery_section(classes: &[ReportClass], gallery: &Gallery) -> Markup {
    html! {
        h2 { (gallery.title) }
        @if !gallery.note.is_empty() { p.soft { (gallery.note) } }
        (legend(classes, &gallery.rows))
        div.scroll {
            table.gallery style=(format!("--columns:{}", gallery.columns.len())) {
                thead { tr { th {} @for column in &gallery.columns { th { (column) } } } }
                tbody { @for row in &gallery.rows { (sheet_row(classes, gallery, row)) } }
            }
        }
    }
}

fn sheet_row(classes: &[ReportClass], gallery: &Gallery, row: &GalleryRow) -> Markup {
    html! {
        tr {
            td.name { (row.id) (class_list(classes, &row.classes)) }
            @for (panel, column) in row.panels.iter().zip(&gallery.columns) {
                td.panel { (picture(panel, &format!("{}: {column}", row.id))) }
            }
        }
    }
}

fn picture(panel: &Panel, alt: &str) -> Markup {
    html! {
        img src=(panel.picture.data_url()) alt=(alt) width=(panel.picture.width()) height=(panel.picture.height());
        @if let Some(value) = panel.mean_iou { div.soft { "mIoU " (percent(value)) } }
        @if !panel.caption.is_empty() { div.soft { (panel.caption) } }
    }
}

/// Names of an image's classes with their colours, one below the other.
fn class_list(classes: &[ReportClass], of: &[usize]) -> Markup {
    html! {
        @for class in of.iter().filter_map(|class| classes.get(*class)) {
            div.soft { (swatch(class.color)) (class.name) }
        }
    }
}

/// What colours mean in the pictures of these rows.
fn legend(classes: &[ReportClass], rows: &[GalleryRow]) -> Markup {
    let mut shown: Vec<usize> = rows.iter().flat_map(|row| row.classes.iter().copied()).collect();
    shown.sort_unstable();
    shown.dedup();
    html! {
        div.legend {
            @for class in shown.iter().filter_map(|class| classes.get(*class)) {
                span { (swatch(class.color)) (class.name) }
            }
            span { span.swatch.void {} "void" }
            (score_legend("score"))
        }
    }
}

/// Rows of one picture each, as many side by side as there is room for.
pub(crate) fn tiles(classes: &[ReportClass], rows: &[GalleryRow]) -> Markup {
    html! {
        div.tiles {
            @for row in rows {
                figure {
                    @for panel in &row.panels { (picture(panel, &row.id)) }
                    figcaption.soft { (row.id) (class_list(classes, &row.classes)) }
                }
            }
        }
    }
}
