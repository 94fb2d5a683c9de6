//! Methods times baselines: which numbers stand beside which, and what is left out.

use crate::error::Result;
use crate::report::model::{Method, Report};
use crate::report::summary::{MethodSummary, difference_cell, spread_cell};
use crate::report::table::{Align, Table};

/// A terminal of usual width, with room for a number.
pub(crate) const TEXT_WIDTH: usize = 100;

/// What stands in a cell that is left out.
const NOTHING: &str = "-";

/// Methods of one baseline.
pub(crate) struct Group<'a> {
    /// Name of the baseline; `None` when it is the only one.
    pub(crate) baseline: Option<&'a str>,
    /// Places in the list of methods.
    pub(crate) methods: Vec<usize>,
}

impl Report {
    /// Names of the baselines, in order.
    pub fn baselines(&self) -> Vec<&str> {
        let named = self.protocol.baselines.iter().map(|of| of.name.as_str());
        distinct(named.chain(self.methods.iter().map(|method| method.baseline.as_str())))
    }

    /// Names of the methods, in the order of all baselines.
    pub fn method_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for group in self.groups() {
            let mut next = 0;
            for method in group.methods {
                let name = self.methods[method].method.as_str();
                // One that another baseline has not goes where it stands here.
                let place = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                    names.insert(next, name);
                    next
                });
                next = place + 1;
            }
        }
        distinct(names.into_iter().chain(self.left_out.iter().map(|cell| cell.method.as_str())))
    }

    pub(crate) fn groups(&self) -> Vec<Group<'_>> {
        let baselines = self.baselines();
        if baselines.len() < 2 {
            return vec![Group { baseline: None, methods: (0..self.methods.len()).collect() }];
        }
        let of = |baseline| (0..self.methods.len()).filter(|index| self.methods[*index].baseline == baseline).collect();
        let group = |baseline| Group { baseline: Some(baseline), methods: of(baseline) };
        baselines.into_iter().map(group).filter(|group| !group.methods.is_empty()).collect()
    }

    /// Which colour a method has: the same on all baselines.
    pub(crate) fn color_of(&self, index: usize) -> usize {
        if self.baselines().len() < 2 {
            return index;
        }
        let own = &self.methods[index].method;
        self.method_names().iter().position(|name| name == own).unwrap_or(index)
    }

    /// Heading and table of mIoU at the best and at the fixed score and held out, a row per method, a column per baseline
    /// and one for the differences within it. Empty unless there are several baselines. Differences go into tables of their own
    /// where `max_width` characters do not hold both.
    ///
    /// # Errors
    /// When the parts of the report do not fit each other.
    pub fn matrices(&self, max_width: Option<usize>) -> Result<Vec<(String, Table)>> {
        if self.baselines().len() < 2 {
            return Ok(Vec::new());
        }
        let summaries = self.summaries()?;
        let fixed = match self.protocol.shared_fixed_score() {
            Some(score) => format!("mIoU at {score}"),
            None => format!("mIoU at fixed: {}", self.protocol.fixed_scores()),
        };
        let mut found = Vec::new();
        let mut measures: Vec<(String, Cells)> = vec![
            ("mIoU at best".to_string(), [|s| spread_cell(s.best), |s| difference_cell(s.best_difference)]),
            (fixed, [|s| spread_cell(s.fixed), |s| difference_cell(s.fixed_difference)]),
        ];
        if summaries.iter().any(|summary| summary.cross_fitted.is_some()) {
            let cells: Cells = [|s| spread_cell(s.cross_fitted), |s| difference_cell(s.cross_fitted_difference)];
            measures.push(("mIoU held out".to_string(), cells));
        }
        for (title, [value, difference]) in measures {
            let both = self.matrix(&summaries, &[value, difference]);
            if max_width.is_none_or(|width| both.width() <= width) {
                found.push((title, both));
            } else {
                found.push((title.clone(), self.matrix(&summaries, &[value])));
                found.push((format!("{title}, difference"), self.matrix(&summaries, &[difference])));
            }
        }
        Ok(found)
    }

    // Of two columns the second is the one of differences.
    fn matrix(&self, summaries: &[MethodSummary], cells: &[fn(&MethodSummary) -> String]) -> Table {
        let baselines = self.baselines();
        let columns = baselines.iter().flat_map(|baseline| {
            [*baseline, "difference"].into_iter().take(cells.len()).map(|name| (name, Align::Right))
        });
        let mut table = Table::new([("method", Align::Left)].into_iter().chain(columns));
        for name in self.method_names() {
            let mut row = vec![name.to_string()];
            for baseline in &baselines {
                let summary = summaries.iter().find(|of| of.method == name && of.baseline == *baseline);
                let shown = |(index, cell): (usize, &fn(&MethodSummary) -> String)| match summary {
                    Some(summary) => cell(summary),
                    None if index == 0 => NOTHING.to_string(),
                    None => String::new(),
                };
                row.extend(cells.iter().enumerate().map(shown));
            }
            table.push(row);
        }
        table
    }

    /// Combinations that make no sense, and why.
    pub(crate) fn left_out_table(&self) -> Table {
        let mut table = Table::new(["baseline", "method", "left out because"].map(|name| (name, Align::Left)));
        for cell in &self.left_out {
            table.push([&cell.baseline, &cell.method, &cell.reason]);
        }
        table
    }

    /// The matrices and what is left out of them, as text; empty unless there are several baselines.
    pub(crate) fn matrix_text(&self) -> Result<String> {
        let mut text = String::new();
        for (title, table) in self.matrices(Some(TEXT_WIDTH))? {
            text.push_str(&format!("{title}\n{}\n", table.to_text()));
        }
        if !text.is_empty() {
            text.push_str(&format!("{}\n\n", self.matrix_note()));
            if !self.left_out.is_empty() {
                text.push_str(&format!("{}\n", self.left_out_table().to_text()));
            }
        }
        Ok(text)
    }

    /// How to read the matrices.
    pub(crate) fn matrix_note(&self) -> String {
        format!(
            "Percent, mean ± standard deviation over repeats.\nDifference to {}, mean ± standard error over seeds.",
            self.reference_name()
        )
    }

    /// What differences are to, in words.
    pub(crate) fn reference_name(&self) -> String {
        let first = |group: &Group<'_>| group.methods.first().map(|index| &self.methods[*index]);
        let groups = self.groups();
        let references: Vec<&Method> = groups.iter().filter_map(first).collect();
        match references.as_slice() {
            [only] => only.name.clone(),
            // All baselines begin with the same one, unless some do not have it.
            [some, rest @ ..] if rest.iter().all(|other| other.method == some.method) => {
                format!("{} on the same baseline", some.method)
            }
            _ => "the first method on the same baseline".to_string(),
        }
    }
}

type Cells = [fn(&MethodSummary) -> String; 2];

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for name in names {
        if !found.contains(&name) {
            found.push(name);
        }
    }
    found
}
