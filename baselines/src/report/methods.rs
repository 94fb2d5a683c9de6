//! The table of methods: a line each, values and differences.

use crate::error::Result;
use crate::report::matrix::TEXT_WIDTH;
use crate::report::model::Report;
use crate::report::summary::{MethodSummary, difference_cell, interval_cell, range_cell, spread_cell};
use crate::report::table::{Align, Table};

/// A column, and whether it is of values or of differences.
struct Column {
    is_difference: bool,
    /// Heading beside the values, and among differences alone.
    names: [String; 2],
    cell: fn(&MethodSummary) -> String,
}

impl Report {
    /// The table of methods as text, in percent.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn methods_table(&self) -> Result<Table> {
        let summaries = self.summaries()?;
        let columns = self.columns(&summaries);
        Ok(table(&summaries, columns.iter().map(|column| (column, column.names[0].as_str()))))
    }

    /// The same for a terminal: differences in a table of their own where one would be too wide.
    pub(crate) fn methods_text(&self) -> Result<String> {
        let whole = self.methods_table()?;
        if whole.width() <= TEXT_WIDTH {
            return Ok(whole.to_text());
        }
        let summaries = self.summaries()?;
        let columns = self.columns(&summaries);
        let part = |differences: bool, lines: &[MethodSummary]| {
            let columns = columns.iter().filter(|column| column.is_difference == differences);
            table(lines, columns.map(|column| (column, column.names[usize::from(differences)].as_str()))).to_text()
        };
        let values = part(false, &summaries);
        let compared = summaries.iter().enumerate().filter(|(index, of)| of.reference != *index);
        let compared: Vec<MethodSummary> = compared.map(|(_, of)| of.clone()).collect();
        if compared.is_empty() {
            return Ok(values);
        }
        let to = format!("Difference to {}, mean ± standard error over seeds", self.reference_name());
        Ok(format!("{values}\n{to}\n{}", part(true, &compared)))
    }

    // An empty column would only take room.
    fn columns(&self, summaries: &[MethodSummary]) -> Vec<Column> {
        let score = self.protocol.shared_fixed_score().unwrap_or_else(|| "fixed".to_string());
        let any = |has: &dyn Fn(&MethodSummary) -> bool| summaries.iter().any(has);
        let cross_fitted = any(&|summary| summary.cross_fitted.is_some());
        let compared = summaries.len() > 1;
        let over_images = any(&|summary| summary.image_bootstrap.is_some());
        // Label maps have no background score.
        let scored = !self.thresholds.is_empty();
        let value = |name: &str, cell: fn(&MethodSummary) -> String| Column {
            is_difference: false,
            names: [name.to_string(), String::new()],
            cell,
        };
        let difference = |names: [&str; 2], cell: fn(&MethodSummary) -> String| Column {
            is_difference: true,
            names: names.map(str::to_string),
            cell,
        };
        let at_best = if scored { "mIoU at best" } else { "mIoU" };
        let (at_score, of_score) = (format!("mIoU at {score}"), format!("at {score}"));
        let columns = [
            (true, value("repeats", |of| of.repeats.to_string())),
            (true, value(at_best, |of| spread_cell(of.best))),
            (scored, value("best score", |of| range_cell(&of.best_thresholds))),
            (compared, difference(["difference", "at best"], |of| difference_cell(of.best_difference))),
            (over_images, difference(["over images"; 2], |of| interval_cell(of.image_bootstrap))),
            (scored, value(&at_score, |of| spread_cell(of.fixed))),
            (compared && scored, difference(["difference", &of_score], |of| difference_cell(of.fixed_difference))),
            (cross_fitted, value("mIoU held out", |of| spread_cell(of.cross_fitted))),
            (
                cross_fitted && compared,
                difference(["difference", "held out"], |of| difference_cell(of.cross_fitted_difference)),
            ),
            (true, value("pixel accuracy", |of| spread_cell(of.pixel_accuracy))),
        ];
        columns.into_iter().filter(|(shown, _)| *shown).map(|(_, column)| column).collect()
    }
}

fn table<'a>(summaries: &[MethodSummary], columns: impl Iterator<Item = (&'a Column, &'a str)>) -> Table {
    let columns: Vec<(&Column, &str)> = columns.collect();
    let names = columns.iter().map(|(_, name)| (*name, Align::Right));
    let mut table = Table::new([("method", Align::Left)].into_iter().chain(names));
    for summary in summaries {
        let cells = columns.iter().map(|(column, _)| (column.cell)(summary));
        table.push([summary.name.clone()].into_iter().chain(cells));
    }
    table
}
